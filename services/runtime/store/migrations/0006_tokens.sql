-- What apps hand out in exchange for credentials and replace over time: read and written under the row's lock.

CREATE TABLE registry.token (
    account text PRIMARY KEY REFERENCES registry.account ON DELETE CASCADE,
    generation bigint NOT NULL DEFAULT 0,
    seed_digest bytea,
    sealed bytea,
    updated_at timestamptz
);
COMMENT ON TABLE registry.token IS 'The present access and refresh token of an account whose app rotates them';
COMMENT ON COLUMN registry.token.generation IS 'How often tokens were stored';
COMMENT ON COLUMN registry.token.seed_digest IS
    'A keyed digest of the credential that they descend from: another credential starts anew';
COMMENT ON COLUMN registry.token.sealed IS 'The tokens, encrypted for this account';
