-- What the connectors know: writes by link and side, reads that are asked for, and what is still to be published.

CREATE SCHEMA connectors;
COMMENT ON SCHEMA connectors IS 'The ledger of writes, pending reads, accounts'' health, and reports to publish';

CREATE TABLE connectors.progress (
    grp text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL,
    PRIMARY KEY (grp, topic, partition)
);
COMMENT ON TABLE connectors.progress IS 'How far each partition is handled; in the transactions that handle it';
COMMENT ON COLUMN connectors.progress.epoch IS 'Rises with each new owner: an earlier one''s transactions are refused';
COMMENT ON COLUMN connectors.progress.next_offset IS 'The first offset that is not handled yet';
COMMENT ON COLUMN connectors.progress.log_id IS
    'The log''s own id of the topic: in a topic made anew offsets mean other messages';

CREATE TABLE connectors.ledger (
    link uuid NOT NULL,
    side text NOT NULL CHECK (side IN ('left', 'right')),
    app text NOT NULL,
    account text NOT NULL,
    connection text NOT NULL,
    config_version bigint NOT NULL,
    incarnation integer NOT NULL,
    n bigint NOT NULL,
    settled_incarnation integer NOT NULL DEFAULT 0,
    settled_n bigint NOT NULL DEFAULT 0,
    type text NOT NULL,
    command bytea NOT NULL,
    decided_at timestamptz NOT NULL,
    traceparent text,
    waiting jsonb,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'inflight', 'unknown', 'settled')),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    key_n integer NOT NULL DEFAULT 0 CHECK (key_n >= 0),
    absences integer NOT NULL DEFAULT 0 CHECK (absences >= 0),
    frozen bytea,
    frozen_at timestamptz,
    made bytea,
    first_sent_at timestamptz,
    next_try_at timestamptz NOT NULL,
    unknown_since timestamptz,
    unknown_reason text,
    told_unknown boolean NOT NULL DEFAULT false,
    inquire boolean NOT NULL DEFAULT false,
    receipt bytea,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (link, side),
    CHECK ((state = 'unknown') = (unknown_since IS NOT NULL)),
    CHECK (state <> 'settled' OR waiting IS NULL)
) WITH (fillfactor = 70);
COMMENT ON TABLE connectors.ledger IS 'The present write on each side of a link: at most one that isn''t settled';
COMMENT ON COLUMN connectors.ledger.n IS 'With incarnation: the version of the command';
COMMENT ON COLUMN connectors.ledger.settled_n IS 'With settled_incarnation: the highest version answered; receipt is its answer';
COMMENT ON COLUMN connectors.ledger.decided_at IS 'When sync decided the command';
COMMENT ON COLUMN connectors.ledger.waiting IS 'A newer command that came while this one was under way: its envelope, taken once this one is settled';
COMMENT ON COLUMN connectors.ledger.state IS
    'pending: not under way; inflight: being sent; unknown: sent, outcome not known; settled: answered';
COMMENT ON COLUMN connectors.ledger.attempt IS 'How often it was sent under its present key; doubles as the claim''s token';
COMMENT ON COLUMN connectors.ledger.failures IS 'Failures in a row: what the pause before the next try grows with';
COMMENT ON COLUMN connectors.ledger.key_n IS 'The attempt in a create''s key; rises only on proof that nothing was made';
COMMENT ON COLUMN connectors.ledger.absences IS 'How often this command was proved not to have been applied, and sent anew';
COMMENT ON COLUMN connectors.ledger.frozen IS
    'The create that was sent under the present key, word for word; null: it is proved that none was executed';
COMMENT ON COLUMN connectors.ledger.frozen_at IS 'When that create was first sent';
COMMENT ON COLUMN connectors.ledger.inquire IS 'Repeating it settles nothing: the app is asked what became of it';
COMMENT ON COLUMN connectors.ledger.made IS
    'The contact that the frozen create made, while what the present create differs in is still to be written to it';
CREATE INDEX ledger_open ON connectors.ledger (account, state, next_try_at) WHERE state <> 'settled';
CREATE INDEX ledger_line ON connectors.ledger (account, (state <> 'unknown'), created_at, decided_at, link, side)
    WHERE state IN ('pending', 'unknown');

CREATE TABLE connectors.read (
    account text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('look', 'find')),
    subject text NOT NULL,
    app text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    number bigint NOT NULL DEFAULT 0,
    attempt bigint NOT NULL DEFAULT 0,
    askers jsonb NOT NULL DEFAULT '[]',
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'inflight')),
    tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    next_try_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account, kind, subject)
);
COMMENT ON TABLE connectors.read IS 'Looks and finds that aren''t answered: at most one each, shared by all who wait';
COMMENT ON COLUMN connectors.read.subject IS 'A contact id, or a normalized address';
COMMENT ON COLUMN connectors.read.number IS 'With attempt: the newest look asked for; the answer carries both';
COMMENT ON COLUMN connectors.read.askers IS 'Of a find: [link, number] of everyone who asked';
CREATE INDEX read_due ON connectors.read (account, next_try_at);
CREATE INDEX read_line ON connectors.read (account, created_at, id) WHERE state = 'pending';

CREATE TABLE connectors.lease (
    account text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
);
COMMENT ON TABLE connectors.lease IS 'Which process works an account off; free once until has passed on this clock';

CREATE TABLE connectors.account (
    account text PRIMARY KEY,
    paused_until timestamptz,
    breaker_open_since timestamptz,
    probe_at timestamptz,
    probes integer NOT NULL DEFAULT 0,
    revoked_at timestamptz,
    revoked_credentials timestamptz,
    reason text
);
COMMENT ON TABLE connectors.account IS 'Whether an account can be asked now; no row: yes';
COMMENT ON COLUMN connectors.account.paused_until IS 'Its quota is used up until then';
COMMENT ON COLUMN connectors.account.probe_at IS 'When an account whose breaker is open is asked again';
COMMENT ON COLUMN connectors.account.revoked_credentials IS 'Which state of the credentials was refused: a newer one is tried';
COMMENT ON COLUMN connectors.account.reason IS 'A short code, never an answer''s text';

CREATE TABLE connectors.report (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    topic text NOT NULL,
    everywhere boolean NOT NULL DEFAULT false,
    key bytea NOT NULL,
    headers jsonb NOT NULL,
    value bytea NOT NULL
);
COMMENT ON TABLE connectors.report IS 'Messages decided in a transaction and not yet confirmed by the log';
COMMENT ON COLUMN connectors.report.account IS 'The account it came from; its worker publishes, in the order of id';
COMMENT ON COLUMN connectors.report.headers IS 'An array of [name, value], values as text';
CREATE INDEX report_account ON connectors.report (account, id);
