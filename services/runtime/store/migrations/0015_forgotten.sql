-- People who were forgotten: keyed digests, so that they aren't taken in again, and nothing that tells who they were.
CREATE TABLE registry.suppression_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    key bytea NOT NULL,
    version bigint NOT NULL
);
COMMENT ON TABLE registry.suppression_key IS 'The key of the digests, made with the first entry';
COMMENT ON COLUMN registry.suppression_key.version IS 'Drawn anew with every entry made or lifted: who holds another one reads them anew';

CREATE TABLE registry.forgotten (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked_by text NOT NULL,
    contacts integer NOT NULL,
    lifted_at timestamptz,
    number bigint
);
COMMENT ON TABLE registry.forgotten IS 'Who was asked to forget somebody, and when; without the person';
COMMENT ON COLUMN registry.forgotten.number IS 'Its row in sync.input: what came before it is passed over when history is read again';

CREATE TABLE registry.suppression (
    entry uuid NOT NULL REFERENCES registry.forgotten (id),
    digest bytea NOT NULL,
    PRIMARY KEY (entry, digest)
);
COMMENT ON TABLE registry.suppression IS 'HMAC-SHA256 of contacts, addresses and links that are taken in no more';

-- An advisory lock: whoever takes messages in shares it, whoever forgets somebody has it alone.
CREATE FUNCTION registry.suppression_gate() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 7160311942208557013';

-- One round trip. Each statement in here sees what was committed before it: the version is read after the wait.
CREATE FUNCTION registry.held_suppression() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(registry.suppression_gate());
    RETURN (SELECT version FROM registry.suppression_key);
END
$$;
COMMENT ON FUNCTION registry.held_suppression IS
    'The version of what is suppressed (none: nobody was forgotten), which stays so until the transaction ends';
