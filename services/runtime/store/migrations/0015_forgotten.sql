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
    lifted_at timestamptz
);
COMMENT ON TABLE registry.forgotten IS 'Who was asked to forget somebody, and when; without the person';

CREATE TABLE registry.suppression (
    entry uuid NOT NULL REFERENCES registry.forgotten (id),
    digest bytea NOT NULL,
    PRIMARY KEY (entry, digest)
);
COMMENT ON TABLE registry.suppression IS 'HMAC-SHA256 of contacts, addresses and links that are taken in no more';
