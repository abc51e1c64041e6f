-- Many deletions at once wait for a person: they are counted by connection, in windows of ten minutes.
CREATE TABLE sync.deletion_window (
    connection text NOT NULL,
    opened bigint NOT NULL,
    active bigint NOT NULL,
    count bigint NOT NULL,
    said boolean,
    PRIMARY KEY (connection, opened)
);
COMMENT ON TABLE sync.deletion_window IS 'Ten minutes of a connection''s deletions: too many of them wait for a person';
COMMENT ON COLUMN sync.deletion_window.opened IS 'Microseconds since 1970';
COMMENT ON COLUMN sync.deletion_window.active IS 'Links that were active then';
COMMENT ON COLUMN sync.deletion_window.said IS 'A person''s word on those that wait: tag them, or leave them; NULL: none yet';
