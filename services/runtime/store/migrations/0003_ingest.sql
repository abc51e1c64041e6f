-- What ingest remembers: how far each account was read, and who reads it.

CREATE SCHEMA ingest;
COMMENT ON SCHEMA ingest IS 'Pollers'' cursors and leases';

CREATE TABLE ingest.lease (
    account text PRIMARY KEY,
    token bigint NOT NULL CHECK (token > 0),
    holder text NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE ingest.lease IS 'Which process polls an account now; free once expires_at has passed on this clock';
COMMENT ON COLUMN ingest.lease.token IS 'Raised whenever the lease is taken: a former holder is told by its older token';
COMMENT ON COLUMN ingest.lease.holder IS 'The process, for people; nothing is decided by it';

CREATE TABLE ingest.cursor (
    account text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('scanning', 'live')),
    poll_number bigint NOT NULL CHECK (poll_number >= 0),
    scan_number bigint NOT NULL CHECK (scan_number > 0),
    scan_started_at timestamptz NOT NULL,
    scan_finished_at timestamptz,
    scan_pages bigint NOT NULL CHECK (scan_pages >= 0),
    scan_count bigint NOT NULL CHECK (scan_count >= 0),
    page_cursor text,
    feed_cursor text,
    next_poll_at timestamptz NOT NULL,
    last_ok_at timestamptz,
    trouble_since timestamptz,
    trouble_count bigint NOT NULL DEFAULT 0 CHECK (trouble_count >= 0),
    last_trouble text,
    CHECK (state = 'scanning' OR feed_cursor IS NOT NULL),
    CHECK ((trouble_since IS NULL) = (trouble_count = 0))
);
COMMENT ON TABLE ingest.cursor IS
    'How far an account was read. Outlives the account: its numbers must not begin again if the name comes back';
COMMENT ON COLUMN ingest.cursor.poll_number IS
    'Raised and committed before each request, so that ids of events never repeat for different facts';
COMMENT ON COLUMN ingest.cursor.scan_number IS 'The scan under way, or the last one';
COMMENT ON COLUMN ingest.cursor.scan_count IS 'Contacts seen by that scan on the pages that are saved';
COMMENT ON COLUMN ingest.cursor.page_cursor IS 'Where that scan goes on, the app''s own text; null at its first page';
COMMENT ON COLUMN ingest.cursor.feed_cursor IS 'Where the change feed goes on, the app''s own text';
COMMENT ON COLUMN ingest.cursor.trouble_count IS 'Failed requests since the last good one';
COMMENT ON COLUMN ingest.cursor.last_trouble IS 'A sentence without contacts'' data, kept after the trouble is over';
