-- What people decide: accounts, their credentials, connections. Read by every service, written by the command line.

CREATE SCHEMA registry;
COMMENT ON SCHEMA registry IS 'Accounts, credentials and connections, as people applied them';

CREATE TABLE registry.config (
    version bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL,
    source text NOT NULL,
    content jsonb NOT NULL
);
COMMENT ON TABLE registry.config IS 'Every file that was applied; the highest version is the one in force';
COMMENT ON COLUMN registry.config.source IS 'The file as it was written: references to secrets are not resolved';
COMMENT ON COLUMN registry.config.content IS 'The accounts without their secrets, and the connections';

CREATE TABLE registry.account (
    name text PRIMARY KEY,
    app text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    config_version bigint NOT NULL REFERENCES registry.config,
    removed_at timestamptz
);
COMMENT ON TABLE registry.account IS 'An authorised account of an app; its secrets are in credential';

CREATE TABLE registry.credential (
    account text NOT NULL REFERENCES registry.account ON DELETE CASCADE,
    field text NOT NULL,
    sealed bytea NOT NULL,
    key_id text NOT NULL,
    seed_digest bytea,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, field)
);
COMMENT ON TABLE registry.credential IS 'One secret of an account, encrypted for this account and field';
COMMENT ON COLUMN registry.credential.key_id IS 'Names the key that sealed it, so that another key is noticed';
COMMENT ON COLUMN registry.credential.seed_digest IS
    'A keyed digest of the file''s value when it was last applied, to notice that the file''s value itself changed';

CREATE TABLE registry.connection (
    name text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 1,
    config_version bigint NOT NULL REFERENCES registry.config,
    body jsonb NOT NULL,
    paused_at timestamptz,
    removed_at timestamptz
);
COMMENT ON TABLE registry.connection IS 'A pair of accounts with direction, rules, mappings and options';
COMMENT ON COLUMN registry.connection.version IS 'Rises with every change of this connection''s body';

CREATE TABLE registry.incarnation (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    n int NOT NULL DEFAULT 1 CHECK (n > 0)
);
COMMENT ON TABLE registry.incarnation IS
    'Raised when the database was restored from a copy: versions given before are told from later ones by it';
INSERT INTO registry.incarnation DEFAULT VALUES;
