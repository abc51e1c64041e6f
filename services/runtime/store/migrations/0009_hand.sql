-- What a person does by hand: release messages that were set aside, try again what couldn't be reconsidered.
ALTER TABLE sync.parked ADD COLUMN key bytea;
COMMENT ON COLUMN sync.parked.key IS 'The message''s key in its topic; NULL in rows from before it was kept';

CREATE TABLE sync.stuck (
    kind text NOT NULL,
    id text NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (kind, id)
);
COMMENT ON TABLE sync.stuck IS
    'Links and contacts whose reconsideration failed: left alone until the next start, or until a person deletes the row';

CREATE TABLE connectors.parked (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    reason text NOT NULL,
    key bytea NOT NULL,
    headers json NOT NULL,
    value bytea NOT NULL,
    at timestamptz NOT NULL
);
COMMENT ON TABLE connectors.parked IS 'Commands set aside with their reason; a copy of each stands in the topic for them';
COMMENT ON COLUMN connectors.parked.headers IS 'An array of [name, value], values as text';
