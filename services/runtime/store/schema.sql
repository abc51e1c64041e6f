-- What the migrations add up to. Written by `python -m services.runtime.store.schema`; not applied by anyone.

CREATE SCHEMA connectors;

COMMENT ON SCHEMA connectors IS 'The ledger of writes, pending reads, accounts'' health, and reports to publish';

CREATE SCHEMA ingest;

COMMENT ON SCHEMA ingest IS 'Pollers'' cursors and leases';

CREATE SCHEMA log;

COMMENT ON SCHEMA log IS 'The embedded log: durable, partitioned, replayable transport on PostgreSQL';

CREATE SCHEMA registry;

COMMENT ON SCHEMA registry IS 'Accounts, credentials and connections, as people applied them';

CREATE SCHEMA sync;

COMMENT ON SCHEMA sync IS 'The sync service: contact records, links, decisions, outbox.';

CREATE FUNCTION log.append(topics text[], numbers integer[], ranks integer[], keys bytea[], headers bytea[], contents bytea[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    place record;
    base bigint;
    base_topics text[] := '{}';
    base_numbers int[] := '{}';
    bases bigint[] := '{}';
    moment timestamptz;
BEGIN
    -- Locked in one order by every writer, and held until the commit: offsets become visible in their order.
    FOR place IN
        SELECT t.topic, t.number, count(*) AS n
        FROM unnest(topics, numbers) AS t (topic, number) GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        UPDATE log.partition AS p SET next_offset = p.next_offset + place.n
        WHERE p.topic = place.topic AND p.number = place.number
        RETURNING p.next_offset - place.n INTO base;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'topic % has no partition %', place.topic, place.number USING ERRCODE = 'no_data_found';
        END IF;
        base_topics := base_topics || place.topic;
        base_numbers := base_numbers || place.number;
        bases := bases || base;
        PERFORM pg_notify('contactsync_log', 'topic:' || place.topic);
    END LOOP;
    moment := clock_timestamp();
    INSERT INTO log.record (topic, partition, "offset", key, headers, value, at)
    SELECT i.topic, i.number, b.base + i.rank, i.key, i.headers, i.content, moment
    FROM unnest(topics, numbers, ranks, keys, headers, contents) AS i (topic, number, rank, key, headers, content)
    JOIN unnest(base_topics, base_numbers, bases) AS b (topic, number, base) USING (topic, number);
END
$$;

COMMENT ON FUNCTION log.append(topics text[], numbers integer[], ranks integer[], keys bytea[], headers bytea[], contents bytea[]) IS 'Appends messages, one array element each; ranks count from 0 within a partition. One call, one transaction';

CREATE FUNCTION log.expire(expired_topic text, expired_partition integer, before timestamp with time zone, at_most integer) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    kept bigint;
    removed bigint;
BEGIN
    -- A prefix only: a record kept keeps all after it, so that no gap arises.
    SELECT coalesce(min(r."offset") FILTER (WHERE r.at >= before), max(r."offset") + 1) INTO kept
    FROM (
        SELECT "offset", at FROM log.record
        WHERE topic = expired_topic AND partition = expired_partition ORDER BY "offset" LIMIT at_most
    ) AS r;
    IF kept IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE log.partition SET first_offset = greatest(first_offset, kept)
    WHERE topic = expired_topic AND number = expired_partition;
    DELETE FROM log.record WHERE topic = expired_topic AND partition = expired_partition AND "offset" < kept;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

COMMENT ON FUNCTION log.expire(expired_topic text, expired_partition integer, before timestamp with time zone, at_most integer) IS 'Deletes the oldest records taken before a moment, at most so many; how many it was';

CREATE FUNCTION registry.held_suppression() RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(registry.suppression_gate());
    RETURN (SELECT version FROM registry.suppression_key);
END
$$;

COMMENT ON FUNCTION registry.held_suppression() IS 'The version of what is suppressed (none: nobody was forgotten), which stays so until the transaction ends';

CREATE FUNCTION registry.suppression_gate() RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $$SELECT 7160311942208557013$$;

CREATE FUNCTION sync.closure(INOUT k_accounts text[], INOUT k_ids text[], INOUT k_links uuid[], INOUT k_addresses text[], c_names text[], c_lefts text[], c_rights text[]) RETURNS record
    LANGUAGE plpgsql
    AS $_$
DECLARE
    uuids CONSTANT text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
    m_links uuid[];
    m_names text[];
    m_lefts text[];
    m_rights text[];
BEGIN
    FOR turn IN 1..2 LOOP
        SELECT coalesce(array_agg(id), '{}'), array_agg(connection), array_agg(left_id), array_agg(right_id)
          INTO m_links, m_names, m_lefts, m_rights
          FROM (
            SELECT l.id, l.connection, l.left_id, l.right_id
              FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN unnest(c_names, c_lefts) c (name, account) ON c.account = k.account
              JOIN sync.link l ON l.connection = c.name AND l.left_id = k.id
             WHERE l.status <> 'ended'
            UNION
            SELECT l.id, l.connection, l.left_id, l.right_id
              FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN unnest(c_names, c_rights) c (name, account) ON c.account = k.account
              JOIN sync.link l ON l.connection = c.name AND l.right_id = k.id
             WHERE l.status <> 'ended'
            UNION
            SELECT l.id, l.connection, l.left_id, l.right_id FROM sync.link l WHERE l.id = ANY (k_links)
          ) met;
        k_links := ARRAY(SELECT unnest(k_links) UNION SELECT unnest(m_links));
        SELECT coalesce(array_agg(account), '{}'), coalesce(array_agg(id), '{}') INTO k_accounts, k_ids
          FROM (
            SELECT account, id FROM unnest(k_accounts, k_ids) k (account, id)
            UNION
            SELECT c.account, m.id
              FROM unnest(m_names, m_lefts) m (name, id) JOIN unnest(c_names, c_lefts) c (name, account) USING (name)
             WHERE m.id IS NOT NULL
            UNION
            SELECT c.account, m.id
              FROM unnest(m_names, m_rights) m (name, id) JOIN unnest(c_names, c_rights) c (name, account) USING (name)
             WHERE m.id IS NOT NULL
          ) met;
        EXIT WHEN turn = 2;

        -- Each end of a merge is looked up by an index of its own: with both in one condition, all that were ever
        -- merged would be read.
        WITH RECURSIVE chain (account, id) AS (
            SELECT * FROM unnest(k_accounts, k_ids)
            UNION
            SELECT chain.account, told.id FROM chain CROSS JOIN LATERAL (
                SELECT c.merged_into FROM sync.contact c
                 WHERE c.account = chain.account AND c.contact_id = chain.id AND c.merged_into IS NOT NULL
                UNION ALL
                SELECT c.contact_id FROM sync.contact c WHERE c.account = chain.account AND c.merged_into = chain.id
            ) told (id)
        )
        SELECT coalesce(array_agg(account), '{}'), coalesce(array_agg(id), '{}') INTO k_accounts, k_ids FROM chain;

        k_addresses := ARRAY(
            SELECT unnest(k_addresses)
            UNION
            SELECT a.address FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN sync.contact_address a ON a.account = k.account AND a.contact_id = k.id
            UNION
            SELECT address FROM sync.reservation WHERE link = ANY (k_links)
        );
        SELECT coalesce(array_agg(account), '{}'), coalesce(array_agg(id), '{}') INTO k_accounts, k_ids
          FROM (
            SELECT account, id FROM unnest(k_accounts, k_ids) k (account, id)
            UNION
            SELECT account, contact_id FROM sync.contact_address WHERE address = ANY (k_addresses)
          ) met;
        k_links := ARRAY(
            SELECT unnest(k_links)
            UNION
            SELECT link FROM sync.reservation WHERE address = ANY (k_addresses)
            UNION
            SELECT c.mark::uuid FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN sync.contact c ON c.account = k.account AND c.contact_id = k.id
             WHERE c.mark ~ uuids
        );
        k_links := ARRAY(
            SELECT unnest(k_links)
            UNION
            SELECT wait_on::uuid FROM sync.link
             WHERE id = ANY (k_links) AND wait_reason = 'duplicate' AND wait_on ~ uuids
        );
    END LOOP;
END
$_$;

CREATE TABLE connectors.account (
    account text NOT NULL,
    paused_until timestamp with time zone,
    breaker_open_since timestamp with time zone,
    probe_at timestamp with time zone,
    probes integer DEFAULT 0 NOT NULL,
    revoked_at timestamp with time zone,
    revoked_credentials timestamp with time zone,
    reason text
);

COMMENT ON TABLE connectors.account IS 'Whether an account can be asked now; no row: yes';

COMMENT ON COLUMN connectors.account.paused_until IS 'Its quota is used up until then';

COMMENT ON COLUMN connectors.account.probe_at IS 'When an account whose breaker is open is asked again';

COMMENT ON COLUMN connectors.account.revoked_credentials IS 'Which state of the credentials was refused: a newer one is tried';

COMMENT ON COLUMN connectors.account.reason IS 'A short code, never an answer''s text';

CREATE TABLE connectors.lease (
    account text NOT NULL,
    holder text NOT NULL,
    until timestamp with time zone NOT NULL,
    token bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE connectors.lease IS 'Which process works an account off; free once until has passed on this clock';

COMMENT ON COLUMN connectors.lease.token IS 'Microseconds since 1970 of its taking: who holds an older one has lost it';

CREATE TABLE connectors.ledger (
    link uuid NOT NULL,
    side text NOT NULL,
    app text NOT NULL,
    account text NOT NULL,
    connection text NOT NULL,
    config_version bigint NOT NULL,
    incarnation integer NOT NULL,
    n bigint NOT NULL,
    settled_incarnation integer DEFAULT 0 NOT NULL,
    settled_n bigint DEFAULT 0 NOT NULL,
    type text NOT NULL,
    command bytea NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    traceparent text,
    waiting json,
    state text DEFAULT 'pending'::text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    key_n integer DEFAULT 0 NOT NULL,
    absences integer DEFAULT 0 NOT NULL,
    frozen bytea,
    frozen_at timestamp with time zone,
    made bytea,
    first_sent_at timestamp with time zone,
    next_try_at timestamp with time zone NOT NULL,
    unknown_since timestamp with time zone,
    unknown_reason text,
    told_unknown boolean DEFAULT false NOT NULL,
    inquire boolean DEFAULT false NOT NULL,
    receipt bytea,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT ledger_absences_check CHECK ((absences >= 0)),
    CONSTRAINT ledger_attempt_check CHECK ((attempt >= 0)),
    CONSTRAINT ledger_check CHECK (((state = 'unknown'::text) = (unknown_since IS NOT NULL))),
    CONSTRAINT ledger_check1 CHECK (((state <> 'settled'::text) OR (waiting IS NULL))),
    CONSTRAINT ledger_failures_check CHECK ((failures >= 0)),
    CONSTRAINT ledger_key_n_check CHECK ((key_n >= 0)),
    CONSTRAINT ledger_side_check CHECK ((side = ANY (ARRAY['left'::text, 'right'::text]))),
    CONSTRAINT ledger_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'inflight'::text, 'unknown'::text, 'settled'::text])))
)
WITH (fillfactor='70');

COMMENT ON TABLE connectors.ledger IS 'The present write on each side of a link: at most one that isn''t settled';

COMMENT ON COLUMN connectors.ledger.n IS 'With incarnation: the version of the command';

COMMENT ON COLUMN connectors.ledger.settled_n IS 'With settled_incarnation: the highest version answered; receipt is its answer';

COMMENT ON COLUMN connectors.ledger.decided_at IS 'When sync decided the command';

COMMENT ON COLUMN connectors.ledger.waiting IS 'A newer command that came while this one was under way: its envelope, taken once this one is settled';

COMMENT ON COLUMN connectors.ledger.state IS 'pending: not under way; inflight: being sent; unknown: sent, outcome not known; settled: answered';

COMMENT ON COLUMN connectors.ledger.attempt IS 'How often it was sent under its present key; doubles as the claim''s token';

COMMENT ON COLUMN connectors.ledger.failures IS 'Failures in a row: what the pause before the next try grows with';

COMMENT ON COLUMN connectors.ledger.key_n IS 'The attempt in a create''s key; rises only on proof that nothing was made';

COMMENT ON COLUMN connectors.ledger.absences IS 'How often this command was proved not to have been applied, and sent anew';

COMMENT ON COLUMN connectors.ledger.frozen IS 'The create that was sent under the present key, word for word; null: it is proved that none was executed';

COMMENT ON COLUMN connectors.ledger.frozen_at IS 'When that create was first sent';

COMMENT ON COLUMN connectors.ledger.made IS 'The contact that the frozen create made, while what the present create differs in is still to be written to it';

COMMENT ON COLUMN connectors.ledger.inquire IS 'Repeating it settles nothing: the app is asked what became of it';

CREATE TABLE connectors.parked (
    id bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "position" bigint NOT NULL,
    reason text NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL,
    value bytea NOT NULL,
    at timestamp with time zone NOT NULL
);

COMMENT ON TABLE connectors.parked IS 'Commands set aside with their reason; a copy of each stands in the topic for them';

COMMENT ON COLUMN connectors.parked.headers IS 'An array of [name, value], values as text';

ALTER TABLE connectors.parked ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME connectors.parked_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE connectors.progress (
    grp text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL
);

COMMENT ON TABLE connectors.progress IS 'How far each partition is handled; in the transactions that handle it';

COMMENT ON COLUMN connectors.progress.epoch IS 'Rises with each new owner: an earlier one''s transactions are refused';

COMMENT ON COLUMN connectors.progress.next_offset IS 'The first offset that is not handled yet';

COMMENT ON COLUMN connectors.progress.log_id IS 'The log''s own id of the topic: in a topic made anew offsets mean other messages';

CREATE TABLE connectors.read (
    account text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    app text NOT NULL,
    id bigint NOT NULL,
    number bigint DEFAULT 0 NOT NULL,
    attempt bigint DEFAULT 0 NOT NULL,
    askers jsonb DEFAULT '[]'::jsonb NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    next_try_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT read_failures_check CHECK ((failures >= 0)),
    CONSTRAINT read_kind_check CHECK ((kind = ANY (ARRAY['look'::text, 'find'::text]))),
    CONSTRAINT read_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'inflight'::text]))),
    CONSTRAINT read_tries_check CHECK ((tries >= 0))
);

COMMENT ON TABLE connectors.read IS 'Looks and finds that aren''t answered: at most one each, shared by all who wait';

COMMENT ON COLUMN connectors.read.subject IS 'A contact id, or a normalized address';

COMMENT ON COLUMN connectors.read.number IS 'With attempt: the newest look asked for; the answer carries both';

COMMENT ON COLUMN connectors.read.askers IS 'Of a find: [link, number] of everyone who asked';

ALTER TABLE connectors.read ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME connectors.read_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE connectors.report (
    id bigint NOT NULL,
    account text NOT NULL,
    topic text NOT NULL,
    everywhere boolean DEFAULT false NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL,
    value bytea NOT NULL
);

COMMENT ON TABLE connectors.report IS 'Messages decided in a transaction and not yet confirmed by the log';

COMMENT ON COLUMN connectors.report.account IS 'The account it came from; its worker publishes, in the order of id';

COMMENT ON COLUMN connectors.report.headers IS 'An array of [name, value], values as text';

ALTER TABLE connectors.report ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME connectors.report_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ingest.cursor (
    account text NOT NULL,
    state text NOT NULL,
    poll_number bigint NOT NULL,
    scan_number bigint NOT NULL,
    scan_started_at timestamp with time zone NOT NULL,
    scan_finished_at timestamp with time zone,
    scan_pages bigint NOT NULL,
    scan_count bigint NOT NULL,
    page_cursor text,
    feed_cursor text,
    next_poll_at timestamp with time zone NOT NULL,
    last_ok_at timestamp with time zone,
    trouble_since timestamp with time zone,
    trouble_count bigint DEFAULT 0 NOT NULL,
    last_trouble text,
    CONSTRAINT cursor_check CHECK (((state = 'scanning'::text) OR (feed_cursor IS NOT NULL))),
    CONSTRAINT cursor_check1 CHECK (((trouble_since IS NULL) = (trouble_count = 0))),
    CONSTRAINT cursor_poll_number_check CHECK ((poll_number >= 0)),
    CONSTRAINT cursor_scan_count_check CHECK ((scan_count >= 0)),
    CONSTRAINT cursor_scan_number_check CHECK ((scan_number > 0)),
    CONSTRAINT cursor_scan_pages_check CHECK ((scan_pages >= 0)),
    CONSTRAINT cursor_state_check CHECK ((state = ANY (ARRAY['scanning'::text, 'live'::text]))),
    CONSTRAINT cursor_trouble_count_check CHECK ((trouble_count >= 0))
);

COMMENT ON TABLE ingest.cursor IS 'How far an account was read. Outlives the account: its numbers must not begin again if the name comes back';

COMMENT ON COLUMN ingest.cursor.poll_number IS 'Raised and committed before each request, so that ids of events never repeat for different facts';

COMMENT ON COLUMN ingest.cursor.scan_number IS 'The scan under way, or the last one';

COMMENT ON COLUMN ingest.cursor.scan_count IS 'Contacts seen by that scan on the pages that are saved';

COMMENT ON COLUMN ingest.cursor.page_cursor IS 'Where that scan goes on, the app''s own text; null at its first page';

COMMENT ON COLUMN ingest.cursor.feed_cursor IS 'Where the change feed goes on, the app''s own text';

COMMENT ON COLUMN ingest.cursor.trouble_count IS 'Failed requests since the last good one';

COMMENT ON COLUMN ingest.cursor.last_trouble IS 'A sentence without contacts'' data, kept after the trouble is over';

CREATE TABLE ingest.lease (
    account text NOT NULL,
    token bigint NOT NULL,
    holder text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT lease_token_check CHECK ((token > 0))
);

COMMENT ON TABLE ingest.lease IS 'Which process polls an account now; free once expires_at has passed on this clock';

COMMENT ON COLUMN ingest.lease.token IS 'Raised whenever the lease is taken: a former holder is told by its older token';

COMMENT ON COLUMN ingest.lease.holder IS 'The process, for people; nothing is decided by it';

CREATE TABLE log.assignment (
    grp text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    owner text,
    generation bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE log.assignment IS 'Which member of a group reads a partition';

COMMENT ON COLUMN log.assignment.owner IS 'A member''s name; null while the partition waits for one';

COMMENT ON COLUMN log.assignment.generation IS 'Rises whenever a member takes the partition';

CREATE TABLE log.committed (
    grp text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE log.committed IS 'How far a group says it is, for lag figures; the owner''s progress row is the truth';

CREATE TABLE log.consumer_group (
    name text NOT NULL,
    sessions bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE log.consumer_group IS 'Readers that share partitions; the row lock lets one of them deal at a time';

COMMENT ON COLUMN log.consumer_group.sessions IS 'How often a member has joined';

CREATE TABLE log.member (
    grp text NOT NULL,
    name text NOT NULL,
    session bigint NOT NULL,
    topics text[] NOT NULL,
    lease_until timestamp with time zone NOT NULL
);

COMMENT ON TABLE log.member IS 'A member of a group under its lasting name, until its lease ends';

COMMENT ON COLUMN log.member.session IS 'Which joining this is: a second process under one name displaces the first';

COMMENT ON COLUMN log.member.lease_until IS 'On this database''s clock; then its partitions go to others';

CREATE TABLE log.partition (
    topic text NOT NULL,
    number integer NOT NULL,
    next_offset bigint DEFAULT 0 NOT NULL,
    first_offset bigint DEFAULT 0 NOT NULL,
    CONSTRAINT partition_check CHECK (((0 <= first_offset) AND (first_offset <= next_offset)))
)
WITH (fillfactor='50');

COMMENT ON TABLE log.partition IS 'Where each partition begins and ends; its row lock puts writers in order';

COMMENT ON COLUMN log.partition.next_offset IS 'The offset that the next record gets';

COMMENT ON COLUMN log.partition.first_offset IS 'The first offset that retention has left';

CREATE TABLE log.record (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    headers bytea NOT NULL,
    value bytea NOT NULL,
    at timestamp with time zone NOT NULL
);

COMMENT ON TABLE log.record IS 'The messages; offsets of a partition have no gap between first_offset and next_offset';

COMMENT ON COLUMN log.record.headers IS 'A msgpack array of [name, value] pairs, in their order';

COMMENT ON COLUMN log.record.at IS 'When the log took it';

CREATE TABLE log.topic (
    name text NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    partitions integer NOT NULL,
    CONSTRAINT topic_partitions_check CHECK ((partitions > 0))
);

COMMENT ON TABLE log.topic IS 'A topic; created explicitly, its number of partitions is for good';

COMMENT ON COLUMN log.topic.id IS 'A topic made anew under the same name has another id';

CREATE TABLE registry.account (
    name text NOT NULL,
    app text NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    config_version bigint NOT NULL,
    removed_at timestamp with time zone
);

COMMENT ON TABLE registry.account IS 'An authorised account of an app; its secrets are in credential';

CREATE TABLE registry.config (
    version bigint NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    applied_by text NOT NULL,
    source text NOT NULL,
    content jsonb NOT NULL
);

COMMENT ON TABLE registry.config IS 'Every file that was applied; the highest version is the one in force';

COMMENT ON COLUMN registry.config.source IS 'The file as it was written: references to secrets are not resolved';

COMMENT ON COLUMN registry.config.content IS 'The accounts without their secrets, and the connections';

ALTER TABLE registry.config ALTER COLUMN version ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.config_version_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE registry.connection (
    name text NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    config_version bigint NOT NULL,
    body jsonb NOT NULL,
    paused_at timestamp with time zone,
    removed_at timestamp with time zone
);

COMMENT ON TABLE registry.connection IS 'A pair of accounts with direction, rules, mappings and options';

COMMENT ON COLUMN registry.connection.version IS 'Rises with every change of this connection''s body';

CREATE TABLE registry.credential (
    account text NOT NULL,
    field text NOT NULL,
    sealed bytea NOT NULL,
    key_id text NOT NULL,
    seed_digest bytea,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE registry.credential IS 'One secret of an account, encrypted for this account and field';

COMMENT ON COLUMN registry.credential.key_id IS 'Names the key that sealed it, so that another key is noticed';

COMMENT ON COLUMN registry.credential.seed_digest IS 'A keyed digest of the file''s value when it was last applied, to notice that the file''s value itself changed';

CREATE TABLE registry.forgotten (
    id uuid NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    asked_by text NOT NULL,
    contacts integer NOT NULL,
    lifted_at timestamp with time zone,
    number bigint
);

COMMENT ON TABLE registry.forgotten IS 'Who was asked to forget somebody, and when; without the person';

COMMENT ON COLUMN registry.forgotten.number IS 'Its row in sync.input: what came before it is passed over when history is read again';

CREATE TABLE registry.incarnation (
    single boolean DEFAULT true NOT NULL,
    n integer DEFAULT 1 NOT NULL,
    CONSTRAINT incarnation_n_check CHECK ((n > 0)),
    CONSTRAINT incarnation_single_check CHECK (single)
);

COMMENT ON TABLE registry.incarnation IS 'Raised when the database was restored from a copy: versions given before are told from later ones by it';

CREATE TABLE registry.suppression (
    entry uuid NOT NULL,
    digest bytea NOT NULL
);

COMMENT ON TABLE registry.suppression IS 'HMAC-SHA256 of contacts, addresses and links that are taken in no more';

CREATE TABLE registry.suppression_key (
    one boolean DEFAULT true NOT NULL,
    key bytea NOT NULL,
    version bigint NOT NULL,
    CONSTRAINT suppression_key_one_check CHECK (one)
);

COMMENT ON TABLE registry.suppression_key IS 'The key of the digests, made with the first entry';

COMMENT ON COLUMN registry.suppression_key.version IS 'Drawn anew with every entry made or lifted: who holds another one reads them anew';

CREATE TABLE registry.token (
    account text NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    seed_digest bytea,
    sealed bytea,
    updated_at timestamp with time zone
);

COMMENT ON TABLE registry.token IS 'The present access and refresh token of an account whose app rotates them';

COMMENT ON COLUMN registry.token.generation IS 'How often tokens were stored';

COMMENT ON COLUMN registry.token.seed_digest IS 'A keyed digest of the credential that they descend from: another credential starts anew';

COMMENT ON COLUMN registry.token.sealed IS 'The tokens, encrypted for this account';

CREATE TABLE sync.account (
    account text NOT NULL,
    scanned_at timestamp with time zone
);

COMMENT ON TABLE sync.account IS 'Whether an account''s first scan has passed in all partitions; read FOR SHARE by every decision.';

CREATE TABLE sync.address (
    address text NOT NULL
);

COMMENT ON TABLE sync.address IS 'One row per address, whatever the account, and one per contact: what a decision locks first.';

CREATE TABLE sync.catching_up (
    topic text NOT NULL,
    partition integer NOT NULL,
    upto bigint NOT NULL
);

COMMENT ON TABLE sync.catching_up IS 'Where the log ended at the restore; until all of it was read, observations are only recorded';

CREATE TABLE sync.contact (
    account text NOT NULL,
    contact_id text NOT NULL,
    seq bigint NOT NULL,
    deleted boolean NOT NULL,
    order_end bigint NOT NULL,
    scan bigint,
    looking boolean NOT NULL,
    mark text,
    state json NOT NULL,
    object text NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    merged_into text
)
WITH (fillfactor='80');

COMMENT ON TABLE sync.contact IS 'The newest observation of each contact: the record.';

COMMENT ON COLUMN sync.contact.state IS 'json, not jsonb: people''s texts may hold the one character that jsonb refuses.';

COMMENT ON COLUMN sync.contact.object IS 'The app''s own object as last observed.';

COMMENT ON COLUMN sync.contact.merged_into IS 'The contact of its account that it was merged into, as the app told';

CREATE TABLE sync.contact_address (
    address text NOT NULL,
    account text NOT NULL,
    contact_id text NOT NULL
);

COMMENT ON TABLE sync.contact_address IS 'Normalized e-mail addresses of live and deleted contacts.';

ALTER TABLE sync.contact ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sync.contact_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE sync.deletion_window (
    connection text NOT NULL,
    opened bigint NOT NULL,
    active bigint NOT NULL,
    count bigint NOT NULL,
    said boolean
);

COMMENT ON TABLE sync.deletion_window IS 'Ten minutes of a connection''s deletions: too many of them wait for a person';

COMMENT ON COLUMN sync.deletion_window.opened IS 'Microseconds since 1970';

COMMENT ON COLUMN sync.deletion_window.active IS 'Links that were active then';

COMMENT ON COLUMN sync.deletion_window.said IS 'A person''s word on those that wait: tag them, or leave them; NULL: none yet';

CREATE TABLE sync.inbox (
    day date NOT NULL,
    account text NOT NULL,
    event_id text NOT NULL
)
PARTITION BY RANGE (day);

COMMENT ON TABLE sync.inbox IS 'Events already taken in, by the day they came: duplicates collapse here for four days.';

CREATE TABLE sync.inbox_default (
    day date CONSTRAINT inbox_day_not_null NOT NULL,
    account text CONSTRAINT inbox_account_not_null NOT NULL,
    event_id text CONSTRAINT inbox_event_id_not_null NOT NULL
);

CREATE TABLE sync.input (
    day date NOT NULL,
    number bigint NOT NULL,
    xid xid8 NOT NULL,
    now bigint NOT NULL,
    config text NOT NULL,
    effect text NOT NULL,
    body json NOT NULL
)
PARTITION BY RANGE (day);

COMMENT ON TABLE sync.input IS 'One row per transaction that folded something: what it took in, in the order of effects';

COMMENT ON COLUMN sync.input.xid IS 'The transaction: with a snapshot it tells what a checkpoint already holds';

COMMENT ON COLUMN sync.input.now IS 'Microseconds since 1970: the moment that was decided with';

COMMENT ON COLUMN sync.input.config IS 'Fingerprint of the registry as it was read';

COMMENT ON COLUMN sync.input.effect IS 'Fingerprint of everything that changed and was sent; empty where nothing was decided';

COMMENT ON COLUMN sync.input.body IS 'Places in the log, links and contacts by id; what a person''s word left behind as it was';

CREATE TABLE sync.input_config (
    fingerprint text NOT NULL,
    body json NOT NULL
);

COMMENT ON TABLE sync.input_config IS 'The connections and accounts that decisions were taken under';

CREATE TABLE sync.input_default (
    day date CONSTRAINT input_day_not_null NOT NULL,
    number bigint CONSTRAINT input_number_not_null NOT NULL,
    xid xid8 CONSTRAINT input_xid_not_null NOT NULL,
    now bigint CONSTRAINT input_now_not_null NOT NULL,
    config text CONSTRAINT input_config_not_null NOT NULL,
    effect text CONSTRAINT input_effect_not_null NOT NULL,
    body json CONSTRAINT input_body_not_null NOT NULL
);

CREATE SEQUENCE sync.input_number
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE sync.input_start (
    one boolean DEFAULT true NOT NULL,
    whole boolean NOT NULL,
    CONSTRAINT input_start_one_check CHECK (one)
);

COMMENT ON TABLE sync.input_start IS 'Whether the inputs kept begin with an empty store; otherwise history starts from a checkpoint';

CREATE TABLE sync.journal (
    day date NOT NULL,
    number bigint NOT NULL,
    link uuid,
    connection text,
    input text NOT NULL,
    cause text NOT NULL,
    topic text,
    partition integer,
    "position" bigint,
    config_version bigint,
    at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    detail jsonb,
    tx bigint
)
PARTITION BY RANGE (day);

COMMENT ON TABLE sync.journal IS 'What was decided about which input for which link, and why; numbers agree with the order of every conflict.';

COMMENT ON COLUMN sync.journal.tx IS 'The transaction''s number in sync.input; NULL in rows from before it was kept';

CREATE TABLE sync.journal_default (
    day date CONSTRAINT journal_day_not_null NOT NULL,
    number bigint CONSTRAINT journal_number_not_null NOT NULL,
    link uuid,
    connection text,
    input text CONSTRAINT journal_input_not_null NOT NULL,
    cause text CONSTRAINT journal_cause_not_null NOT NULL,
    topic text,
    partition integer,
    "position" bigint,
    config_version bigint,
    at timestamp with time zone CONSTRAINT journal_at_not_null NOT NULL,
    outcome text CONSTRAINT journal_outcome_not_null NOT NULL,
    reason text CONSTRAINT journal_reason_not_null NOT NULL,
    detail jsonb,
    tx bigint
);

CREATE SEQUENCE sync.journal_number
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE sync.link (
    id uuid NOT NULL,
    seq bigint NOT NULL,
    connection text NOT NULL,
    left_id text,
    right_id text,
    status text NOT NULL,
    alias_of uuid,
    wait_reason text,
    wait_on text,
    wait_since timestamp with time zone,
    reconsider_at timestamp with time zone,
    config_version bigint NOT NULL,
    holds integer NOT NULL,
    refusals integer NOT NULL,
    unsettled integer NOT NULL,
    state json NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    unsettled_since timestamp with time zone,
    CONSTRAINT link_status_check CHECK ((status = ANY (ARRAY['pairing'::text, 'active'::text, 'outside'::text, 'duplicate'::text, 'tombstone'::text, 'ended'::text])))
);

COMMENT ON TABLE sync.link IS 'The lasting pairing of a left and a right contact in one connection, or a contact that has no partner yet.';

COMMENT ON COLUMN sync.link.unsettled_since IS 'When the oldest of its unsettled writes was last sent; NULL: none';

ALTER TABLE sync.link ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sync.link_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE sync.outbox (
    id bigint NOT NULL,
    topic text NOT NULL,
    key bytea NOT NULL,
    headers text NOT NULL,
    value bytea NOT NULL,
    at timestamp with time zone NOT NULL
);

COMMENT ON TABLE sync.outbox IS 'Commands decided and not yet in the log. The relay publishes and deletes them.';

ALTER TABLE sync.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sync.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE sync.parked (
    id bigint NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "position" bigint NOT NULL,
    reason text NOT NULL,
    headers text NOT NULL,
    value bytea NOT NULL,
    at timestamp with time zone NOT NULL,
    key bytea
);

COMMENT ON TABLE sync.parked IS 'Messages set aside with their reason.';

COMMENT ON COLUMN sync.parked.key IS 'The message''s key in its topic; NULL in rows from before it was kept';

ALTER TABLE sync.parked ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sync.parked_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE sync.progress (
    grp text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL
);

COMMENT ON TABLE sync.progress IS 'How far each partition is handled; the epoch fences members that lost it.';

CREATE TABLE sync.reservation (
    account text NOT NULL,
    address text NOT NULL,
    link uuid NOT NULL
);

COMMENT ON TABLE sync.reservation IS 'Addresses for which a create is being decided or is under way: one per account and address.';

CREATE TABLE sync.scan_pass (
    account text NOT NULL,
    number bigint NOT NULL,
    partition integer NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL
);

COMMENT ON TABLE sync.scan_pass IS 'The partitions in which the end of a scan has been seen.';

CREATE TABLE sync.stuck (
    kind text NOT NULL,
    id text NOT NULL,
    error text NOT NULL,
    at timestamp with time zone NOT NULL
);

COMMENT ON TABLE sync.stuck IS 'Links and contacts whose reconsideration failed: left alone until the next start, or until a person deletes the row';

CREATE TABLE sync.suspect (
    account text NOT NULL,
    contact_id text NOT NULL,
    scan bigint NOT NULL,
    held boolean NOT NULL,
    since timestamp with time zone NOT NULL
);

COMMENT ON TABLE sync.suspect IS 'Contacts that a full scan no longer showed: each is looked at; many at once wait for a person first.';

CREATE TABLE sync.wake (
    id bigint NOT NULL,
    link uuid NOT NULL
);

COMMENT ON TABLE sync.wake IS 'Links to be reconsidered at once; rows are only inserted by those who wake, so waking locks nothing.';

ALTER TABLE sync.wake ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sync.wake_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY sync.inbox ATTACH PARTITION sync.inbox_default DEFAULT;

ALTER TABLE ONLY sync.input ATTACH PARTITION sync.input_default DEFAULT;

ALTER TABLE ONLY sync.journal ATTACH PARTITION sync.journal_default DEFAULT;

ALTER TABLE ONLY connectors.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (account);

ALTER TABLE ONLY connectors.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (account);

ALTER TABLE ONLY connectors.ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (link, side);

ALTER TABLE ONLY connectors.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (id);

ALTER TABLE ONLY connectors.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (grp, topic, partition);

ALTER TABLE ONLY connectors.read
    ADD CONSTRAINT read_pkey PRIMARY KEY (account, kind, subject);

ALTER TABLE ONLY connectors.report
    ADD CONSTRAINT report_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ingest.cursor
    ADD CONSTRAINT cursor_pkey PRIMARY KEY (account);

ALTER TABLE ONLY ingest.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (account);

ALTER TABLE ONLY log.assignment
    ADD CONSTRAINT assignment_pkey PRIMARY KEY (grp, topic, partition);

ALTER TABLE ONLY log.committed
    ADD CONSTRAINT committed_pkey PRIMARY KEY (grp, topic, partition);

ALTER TABLE ONLY log.consumer_group
    ADD CONSTRAINT consumer_group_pkey PRIMARY KEY (name);

ALTER TABLE ONLY log.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (grp, name);

ALTER TABLE ONLY log.partition
    ADD CONSTRAINT partition_pkey PRIMARY KEY (topic, number);

ALTER TABLE ONLY log.record
    ADD CONSTRAINT record_pkey PRIMARY KEY (topic, partition, "offset");

ALTER TABLE ONLY log.topic
    ADD CONSTRAINT topic_id_key UNIQUE (id);

ALTER TABLE ONLY log.topic
    ADD CONSTRAINT topic_pkey PRIMARY KEY (name);

ALTER TABLE ONLY registry.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (name);

ALTER TABLE ONLY registry.config
    ADD CONSTRAINT config_pkey PRIMARY KEY (version);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (name);

ALTER TABLE ONLY registry.credential
    ADD CONSTRAINT credential_pkey PRIMARY KEY (account, field);

ALTER TABLE ONLY registry.forgotten
    ADD CONSTRAINT forgotten_pkey PRIMARY KEY (id);

ALTER TABLE ONLY registry.incarnation
    ADD CONSTRAINT incarnation_pkey PRIMARY KEY (single);

ALTER TABLE ONLY registry.suppression_key
    ADD CONSTRAINT suppression_key_pkey PRIMARY KEY (one);

ALTER TABLE ONLY registry.suppression
    ADD CONSTRAINT suppression_pkey PRIMARY KEY (entry, digest);

ALTER TABLE ONLY registry.token
    ADD CONSTRAINT token_pkey PRIMARY KEY (account);

ALTER TABLE ONLY sync.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (account);

ALTER TABLE ONLY sync.address
    ADD CONSTRAINT address_pkey PRIMARY KEY (address);

ALTER TABLE ONLY sync.catching_up
    ADD CONSTRAINT catching_up_pkey PRIMARY KEY (topic, partition);

ALTER TABLE ONLY sync.contact_address
    ADD CONSTRAINT contact_address_pkey PRIMARY KEY (address, account, contact_id);

ALTER TABLE ONLY sync.contact
    ADD CONSTRAINT contact_pkey PRIMARY KEY (account, contact_id);

ALTER TABLE ONLY sync.deletion_window
    ADD CONSTRAINT deletion_window_pkey PRIMARY KEY (connection, opened);

ALTER TABLE ONLY sync.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (day, account, event_id);

ALTER TABLE ONLY sync.inbox_default
    ADD CONSTRAINT inbox_default_pkey PRIMARY KEY (day, account, event_id);

ALTER TABLE ONLY sync.input_config
    ADD CONSTRAINT input_config_pkey PRIMARY KEY (fingerprint);

ALTER TABLE ONLY sync.input
    ADD CONSTRAINT input_pkey PRIMARY KEY (day, number);

ALTER TABLE ONLY sync.input_default
    ADD CONSTRAINT input_default_pkey PRIMARY KEY (day, number);

ALTER TABLE ONLY sync.input_start
    ADD CONSTRAINT input_start_pkey PRIMARY KEY (one);

ALTER TABLE ONLY sync.journal
    ADD CONSTRAINT journal_pkey PRIMARY KEY (day, number);

ALTER TABLE ONLY sync.journal_default
    ADD CONSTRAINT journal_default_pkey PRIMARY KEY (day, number);

ALTER TABLE ONLY sync.link
    ADD CONSTRAINT link_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sync.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sync.parked
    ADD CONSTRAINT parked_pkey PRIMARY KEY (id);

ALTER TABLE ONLY sync.parked
    ADD CONSTRAINT parked_topic_partition_position_key UNIQUE (topic, partition, "position");

ALTER TABLE ONLY sync.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (grp, topic, partition);

ALTER TABLE ONLY sync.reservation
    ADD CONSTRAINT reservation_pkey PRIMARY KEY (account, address);

ALTER TABLE ONLY sync.scan_pass
    ADD CONSTRAINT scan_pass_pkey PRIMARY KEY (account, number, partition);

ALTER TABLE ONLY sync.stuck
    ADD CONSTRAINT stuck_pkey PRIMARY KEY (kind, id);

ALTER TABLE ONLY sync.suspect
    ADD CONSTRAINT suspect_pkey PRIMARY KEY (account, contact_id);

ALTER TABLE ONLY sync.wake
    ADD CONSTRAINT wake_pkey PRIMARY KEY (id);

CREATE INDEX ledger_line ON connectors.ledger USING btree (account, ((state <> 'unknown'::text)), created_at, decided_at, link, side) WHERE (state = ANY (ARRAY['pending'::text, 'unknown'::text]));

CREATE INDEX ledger_open ON connectors.ledger USING btree (account, state, next_try_at) WHERE (state <> 'settled'::text);

CREATE INDEX read_due ON connectors.read USING btree (account, next_try_at);

CREATE UNIQUE INDEX read_id ON connectors.read USING btree (id);

CREATE INDEX read_line ON connectors.read USING btree (account, created_at, id) WHERE (state = 'pending'::text);

CREATE INDEX report_account ON connectors.report USING btree (account, id);

CREATE INDEX contact_address_contact ON sync.contact_address USING btree (account, contact_id);

CREATE INDEX contact_looking ON sync.contact USING btree (account) WHERE looking;

CREATE INDEX contact_merged_into ON sync.contact USING btree (account, merged_into) WHERE (merged_into IS NOT NULL);

CREATE INDEX contact_scan ON sync.contact USING btree (account, scan) WHERE (NOT deleted);

CREATE INDEX contact_seq ON sync.contact USING btree (account, seq) WHERE (NOT deleted);

CREATE INDEX input_order ON ONLY sync.input USING btree (number);

CREATE INDEX input_default_number_idx ON sync.input_default USING btree (number);

CREATE INDEX journal_link ON ONLY sync.journal USING btree (link, number);

CREATE INDEX journal_default_link_number_idx ON sync.journal_default USING btree (link, number);

CREATE INDEX journal_tx ON ONLY sync.journal USING brin (tx);

CREATE INDEX journal_default_tx_idx ON sync.journal_default USING brin (tx);

CREATE INDEX link_config ON sync.link USING btree (connection, config_version) WHERE (status <> 'ended'::text);

CREATE INDEX link_due ON sync.link USING btree (reconsider_at) WHERE (reconsider_at IS NOT NULL);

CREATE INDEX link_held ON sync.link USING btree (connection) WHERE (holds > 0);

CREATE UNIQUE INDEX link_left ON sync.link USING btree (connection, left_id) WHERE ((left_id IS NOT NULL) AND (status <> 'ended'::text));

CREATE UNIQUE INDEX link_right ON sync.link USING btree (connection, right_id) WHERE ((right_id IS NOT NULL) AND (status <> 'ended'::text));

CREATE INDEX link_unsettled ON sync.link USING btree (unsettled_since) WHERE (unsettled_since IS NOT NULL);

CREATE INDEX link_wait ON sync.link USING btree (wait_reason, wait_on) WHERE (wait_reason IS NOT NULL);

CREATE INDEX reservation_address ON sync.reservation USING btree (address);

CREATE INDEX reservation_link ON sync.reservation USING btree (link);

ALTER INDEX sync.inbox_pkey ATTACH PARTITION sync.inbox_default_pkey;

ALTER INDEX sync.input_order ATTACH PARTITION sync.input_default_number_idx;

ALTER INDEX sync.input_pkey ATTACH PARTITION sync.input_default_pkey;

ALTER INDEX sync.journal_link ATTACH PARTITION sync.journal_default_link_number_idx;

ALTER INDEX sync.journal_pkey ATTACH PARTITION sync.journal_default_pkey;

ALTER INDEX sync.journal_tx ATTACH PARTITION sync.journal_default_tx_idx;

ALTER TABLE ONLY log.assignment
    ADD CONSTRAINT assignment_grp_fkey FOREIGN KEY (grp) REFERENCES log.consumer_group(name) ON DELETE CASCADE;

ALTER TABLE ONLY log.assignment
    ADD CONSTRAINT assignment_topic_partition_fkey FOREIGN KEY (topic, partition) REFERENCES log.partition(topic, number) ON DELETE CASCADE;

ALTER TABLE ONLY log.committed
    ADD CONSTRAINT committed_grp_fkey FOREIGN KEY (grp) REFERENCES log.consumer_group(name) ON DELETE CASCADE;

ALTER TABLE ONLY log.committed
    ADD CONSTRAINT committed_topic_partition_fkey FOREIGN KEY (topic, partition) REFERENCES log.partition(topic, number) ON DELETE CASCADE;

ALTER TABLE ONLY log.member
    ADD CONSTRAINT member_grp_fkey FOREIGN KEY (grp) REFERENCES log.consumer_group(name) ON DELETE CASCADE;

ALTER TABLE ONLY log.partition
    ADD CONSTRAINT partition_topic_fkey FOREIGN KEY (topic) REFERENCES log.topic(name) ON DELETE CASCADE;

ALTER TABLE ONLY log.record
    ADD CONSTRAINT record_topic_fkey FOREIGN KEY (topic) REFERENCES log.topic(name) ON DELETE CASCADE;

ALTER TABLE ONLY registry.account
    ADD CONSTRAINT account_config_version_fkey FOREIGN KEY (config_version) REFERENCES registry.config(version);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_config_version_fkey FOREIGN KEY (config_version) REFERENCES registry.config(version);

ALTER TABLE ONLY registry.credential
    ADD CONSTRAINT credential_account_fkey FOREIGN KEY (account) REFERENCES registry.account(name) ON DELETE CASCADE;

ALTER TABLE ONLY registry.suppression
    ADD CONSTRAINT suppression_entry_fkey FOREIGN KEY (entry) REFERENCES registry.forgotten(id);

ALTER TABLE ONLY registry.token
    ADD CONSTRAINT token_account_fkey FOREIGN KEY (account) REFERENCES registry.account(name) ON DELETE CASCADE;
