-- After a restore from a copy: the log holds more than the copy knows, and has to be read again before anything is decided.
CREATE TABLE sync.catching_up (
    topic text NOT NULL,
    partition int NOT NULL,
    upto bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE sync.catching_up IS 'Where the log ended at the restore; until all of it was read, observations are only recorded';
