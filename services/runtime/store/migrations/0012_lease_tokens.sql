-- Two living processes of one name (a pod that was declared dead, and its successor) must not both work on an account:
-- each taking of a lease has a token of its own.
ALTER TABLE connectors.lease ADD COLUMN token bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN connectors.lease.token IS 'Microseconds since 1970 of its taking: who holds an older one has lost it';

CREATE UNIQUE INDEX read_id ON connectors.read (id);
