-- What each transaction of sync took in, so that history can be decided again in its own order.
CREATE SEQUENCE sync.input_number;
CREATE TABLE sync.input (
    day date NOT NULL,
    number bigint NOT NULL,
    xid xid8 NOT NULL,
    now bigint NOT NULL,
    config text NOT NULL,
    effect text NOT NULL,
    body json NOT NULL,
    PRIMARY KEY (day, number)
) PARTITION BY RANGE (day);
CREATE TABLE sync.input_default PARTITION OF sync.input DEFAULT;
CREATE INDEX input_order ON sync.input (number);
COMMENT ON TABLE sync.input IS 'One row per transaction that folded something: what it took in, in the order of effects';
COMMENT ON COLUMN sync.input.xid IS 'The transaction: with a snapshot it tells what a checkpoint already holds';
COMMENT ON COLUMN sync.input.now IS 'Microseconds since 1970: the moment that was decided with';
COMMENT ON COLUMN sync.input.config IS 'Fingerprint of the registry as it was read';
COMMENT ON COLUMN sync.input.effect IS 'Fingerprint of everything that changed and was sent; empty where nothing was decided';
COMMENT ON COLUMN sync.input.body IS 'Places in the log, links and contacts by id; what a person''s word left behind as it was';

CREATE TABLE sync.input_config (
    fingerprint text PRIMARY KEY,
    body json NOT NULL
);
COMMENT ON TABLE sync.input_config IS 'The connections and accounts that decisions were taken under';

CREATE TABLE sync.input_start (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    whole boolean NOT NULL
);
COMMENT ON TABLE sync.input_start IS 'Whether the inputs kept begin with an empty store; otherwise history starts from a checkpoint';
INSERT INTO sync.input_start (whole)
SELECT NOT EXISTS (SELECT FROM sync.contact) AND NOT EXISTS (SELECT FROM sync.link)
       AND NOT EXISTS (SELECT FROM sync.account WHERE scanned_at IS NOT NULL);

ALTER TABLE sync.journal ADD COLUMN tx bigint;
CREATE INDEX journal_tx ON sync.journal USING brin (tx);
COMMENT ON COLUMN sync.journal.tx IS 'The transaction''s number in sync.input; NULL in rows from before it was kept';
