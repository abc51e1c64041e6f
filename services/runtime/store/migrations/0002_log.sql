-- The embedded log: topics, partitions, records, and who reads them. Unused where Kafka carries the messages.

CREATE SCHEMA log;
COMMENT ON SCHEMA log IS 'The embedded log: durable, partitioned, replayable transport on PostgreSQL';

CREATE TABLE log.topic (
    name text PRIMARY KEY,
    id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    partitions int NOT NULL CHECK (partitions > 0)
);
COMMENT ON TABLE log.topic IS 'A topic; created explicitly, its number of partitions is for good';
COMMENT ON COLUMN log.topic.id IS 'A topic made anew under the same name has another id';

CREATE TABLE log.partition (
    topic text NOT NULL REFERENCES log.topic ON DELETE CASCADE,
    number int NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    first_offset bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, number),
    CHECK (0 <= first_offset AND first_offset <= next_offset)
) WITH (fillfactor = 50);
COMMENT ON TABLE log.partition IS 'Where each partition begins and ends; its row lock puts writers in order';
COMMENT ON COLUMN log.partition.next_offset IS 'The offset that the next record gets';
COMMENT ON COLUMN log.partition.first_offset IS 'The first offset that retention has left';

CREATE TABLE log.record (
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    key bytea NOT NULL,
    headers bytea NOT NULL,
    value bytea NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset"),
    FOREIGN KEY (topic) REFERENCES log.topic ON DELETE CASCADE
);
COMMENT ON TABLE log.record IS 'The messages; offsets of a partition have no gap between first_offset and next_offset';
COMMENT ON COLUMN log.record.headers IS 'A msgpack array of [name, value] pairs, in their order';
COMMENT ON COLUMN log.record.at IS 'When the log took it';

CREATE TABLE log.consumer_group (
    name text PRIMARY KEY,
    sessions bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE log.consumer_group IS 'Readers that share partitions; the row lock lets one of them deal at a time';
COMMENT ON COLUMN log.consumer_group.sessions IS 'How often a member has joined';

CREATE TABLE log.member (
    grp text NOT NULL REFERENCES log.consumer_group ON DELETE CASCADE,
    name text NOT NULL,
    session bigint NOT NULL,
    topics text[] NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (grp, name)
);
COMMENT ON TABLE log.member IS 'A member of a group under its lasting name, until its lease ends';
COMMENT ON COLUMN log.member.session IS 'Which joining this is: a second process under one name displaces the first';
COMMENT ON COLUMN log.member.lease_until IS 'On this database''s clock; then its partitions go to others';

CREATE TABLE log.assignment (
    grp text NOT NULL REFERENCES log.consumer_group ON DELETE CASCADE,
    topic text NOT NULL,
    partition int NOT NULL,
    owner text,
    generation bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (grp, topic, partition),
    FOREIGN KEY (topic, partition) REFERENCES log.partition ON DELETE CASCADE
);
COMMENT ON TABLE log.assignment IS 'Which member of a group reads a partition';
COMMENT ON COLUMN log.assignment.owner IS 'A member''s name; null while the partition waits for one';
COMMENT ON COLUMN log.assignment.generation IS 'Rises whenever a member takes the partition';

CREATE TABLE log.committed (
    grp text NOT NULL REFERENCES log.consumer_group ON DELETE CASCADE,
    topic text NOT NULL,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (grp, topic, partition),
    FOREIGN KEY (topic, partition) REFERENCES log.partition ON DELETE CASCADE
);
COMMENT ON TABLE log.committed IS 'How far a group says it is, for lag figures; the owner''s progress row is the truth';

CREATE FUNCTION log.append(
    topics text[], numbers int[], ranks int[], keys bytea[], headers bytea[], contents bytea[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place record;
    base bigint;
    base_topics text[] := '{}';
    base_numbers int[] := '{}';
    bases bigint[] := '{}';
    moment timestamptz;
BEGIN
    -- Locked in one order by every writer, and held until the commit: offsets become visible in their order.
    FOR place IN
        SELECT t.topic, t.number, count(*) AS n
        FROM unnest(topics, numbers) AS t (topic, number) GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        UPDATE log.partition AS p SET next_offset = p.next_offset + place.n
        WHERE p.topic = place.topic AND p.number = place.number
        RETURNING p.next_offset - place.n INTO base;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'topic % has no partition %', place.topic, place.number USING ERRCODE = 'no_data_found';
        END IF;
        base_topics := base_topics || place.topic;
        base_numbers := base_numbers || place.number;
        bases := bases || base;
        PERFORM pg_notify('contactsync_log', 'topic:' || place.topic);
    END LOOP;
    moment := clock_timestamp();
    INSERT INTO log.record (topic, partition, "offset", key, headers, value, at)
    SELECT i.topic, i.number, b.base + i.rank, i.key, i.headers, i.content, moment
    FROM unnest(topics, numbers, ranks, keys, headers, contents) AS i (topic, number, rank, key, headers, content)
    JOIN unnest(base_topics, base_numbers, bases) AS b (topic, number, base) USING (topic, number);
END
$$;
COMMENT ON FUNCTION log.append IS
    'Appends messages, one array element each; ranks count from 0 within a partition. One call, one transaction';

CREATE FUNCTION log.expire(expired_topic text, expired_partition int, before timestamptz, at_most int)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    kept bigint;
    removed bigint;
BEGIN
    -- A prefix only: a record kept keeps all after it, so that no gap arises.
    SELECT coalesce(min(r."offset") FILTER (WHERE r.at >= before), max(r."offset") + 1) INTO kept
    FROM (
        SELECT "offset", at FROM log.record
        WHERE topic = expired_topic AND partition = expired_partition ORDER BY "offset" LIMIT at_most
    ) AS r;
    IF kept IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE log.partition SET first_offset = greatest(first_offset, kept)
    WHERE topic = expired_topic AND number = expired_partition;
    DELETE FROM log.record WHERE topic = expired_topic AND partition = expired_partition AND "offset" < kept;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION log.expire IS 'Deletes the oldest records taken before a moment, at most so many; how many it was';
