-- What sync knows. Postgres is the truth: progress, inbox, contact records, links, journal and outbox change together.
CREATE SCHEMA sync;
COMMENT ON SCHEMA sync IS 'The sync service: contact records, links, decisions, outbox.';

CREATE TABLE sync.progress (
    grp text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL,
    PRIMARY KEY (grp, topic, partition)
);
COMMENT ON TABLE sync.progress IS 'How far each partition is handled; the epoch fences members that lost it.';

CREATE TABLE sync.inbox (
    day date NOT NULL,
    account text NOT NULL,
    event_id text NOT NULL,
    PRIMARY KEY (day, account, event_id)
) PARTITION BY RANGE (day);
CREATE TABLE sync.inbox_default PARTITION OF sync.inbox DEFAULT;
COMMENT ON TABLE sync.inbox IS 'Events already taken in, by the day they came: duplicates collapse here for four days.';

CREATE TABLE sync.account (
    account text PRIMARY KEY,
    scanned_at timestamptz
);
COMMENT ON TABLE sync.account IS 'Whether an account''s first scan has passed in all partitions; read FOR SHARE by every decision.';

CREATE TABLE sync.scan_pass (
    account text NOT NULL,
    number bigint NOT NULL,
    partition integer NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (account, number, partition)
);
COMMENT ON TABLE sync.scan_pass IS 'The partitions in which the end of a scan has been seen.';

CREATE TABLE sync.contact (
    account text NOT NULL,
    contact_id text NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    deleted boolean NOT NULL,
    order_end bigint NOT NULL,
    scan bigint,
    looking boolean NOT NULL,
    mark text,
    state json NOT NULL,
    object text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (account, contact_id)
);
CREATE INDEX contact_scan ON sync.contact (account, scan) WHERE NOT deleted;
CREATE INDEX contact_seq ON sync.contact (account, seq) WHERE NOT deleted;
COMMENT ON TABLE sync.contact IS 'The newest observation of each contact: the record.';
COMMENT ON COLUMN sync.contact.state IS 'json, not jsonb: people''s texts may hold the one character that jsonb refuses.';
COMMENT ON COLUMN sync.contact.object IS 'The app''s own object as last observed.';

CREATE TABLE sync.contact_address (
    address text NOT NULL,
    account text NOT NULL,
    contact_id text NOT NULL,
    PRIMARY KEY (address, account, contact_id)
);
CREATE INDEX contact_address_contact ON sync.contact_address (account, contact_id);
COMMENT ON TABLE sync.contact_address IS 'Normalized e-mail addresses of live and deleted contacts.';

CREATE TABLE sync.address (
    address text PRIMARY KEY
);
COMMENT ON TABLE sync.address IS 'One row per address, whatever the account, and one per contact: what a decision locks first.';

CREATE TABLE sync.reservation (
    account text NOT NULL,
    address text NOT NULL,
    link uuid NOT NULL,
    PRIMARY KEY (account, address)
);
CREATE INDEX reservation_link ON sync.reservation (link);
CREATE INDEX reservation_address ON sync.reservation (address);
COMMENT ON TABLE sync.reservation IS 'Addresses for which a create is being decided or is under way: one per account and address.';

CREATE TABLE sync.link (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    connection text NOT NULL,
    left_id text,
    right_id text,
    status text NOT NULL CHECK (status IN ('pairing', 'active', 'outside', 'duplicate', 'tombstone', 'ended')),
    alias_of uuid,
    wait_reason text,
    wait_on text,
    wait_since timestamptz,
    reconsider_at timestamptz,
    config_version bigint NOT NULL,
    holds integer NOT NULL,
    refusals integer NOT NULL,
    unsettled integer NOT NULL,
    state json NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX link_left ON sync.link (connection, left_id) WHERE left_id IS NOT NULL AND status <> 'ended';
CREATE UNIQUE INDEX link_right ON sync.link (connection, right_id) WHERE right_id IS NOT NULL AND status <> 'ended';
CREATE INDEX link_due ON sync.link (reconsider_at) WHERE reconsider_at IS NOT NULL;
CREATE INDEX link_wait ON sync.link (wait_reason, wait_on) WHERE wait_reason IS NOT NULL;
CREATE INDEX link_config ON sync.link (connection, config_version) WHERE status <> 'ended';
CREATE INDEX link_held ON sync.link (connection) WHERE holds > 0;
COMMENT ON TABLE sync.link IS 'The lasting pairing of a left and a right contact in one connection, or a contact that has no partner yet.';

CREATE TABLE sync.wake (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    link uuid NOT NULL
);
COMMENT ON TABLE sync.wake IS 'Links to be reconsidered at once; rows are only inserted by those who wake, so waking locks nothing.';

CREATE TABLE sync.suspect (
    account text NOT NULL,
    contact_id text NOT NULL,
    scan bigint NOT NULL,
    held boolean NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (account, contact_id)
);
COMMENT ON TABLE sync.suspect IS 'Contacts that a full scan no longer showed: each is looked at; many at once wait for a person first.';

CREATE SEQUENCE sync.journal_number;
CREATE TABLE sync.journal (
    day date NOT NULL,
    number bigint NOT NULL,
    link uuid,
    connection text,
    input text NOT NULL,
    cause text NOT NULL,
    topic text,
    partition integer,
    position bigint,
    config_version bigint,
    at timestamptz NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    detail jsonb,
    PRIMARY KEY (day, number)
) PARTITION BY RANGE (day);
CREATE TABLE sync.journal_default PARTITION OF sync.journal DEFAULT;
CREATE INDEX journal_link ON sync.journal (link, number);
COMMENT ON TABLE sync.journal IS 'What was decided about which input for which link, and why; numbers agree with the order of every conflict.';

CREATE TABLE sync.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key bytea NOT NULL,
    headers text NOT NULL,
    value bytea NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE sync.outbox IS 'Commands decided and not yet in the log. The relay publishes and deletes them.';

CREATE TABLE sync.parked (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    reason text NOT NULL,
    headers text NOT NULL,
    value bytea NOT NULL,
    at timestamptz NOT NULL,
    UNIQUE (topic, partition, position)
);
COMMENT ON TABLE sync.parked IS 'Messages set aside with their reason.';
