-- Everything that deciding about some contacts, links and addresses may read or change, in one question instead of
-- seven: the links of the contacts and their partners, all their addresses, every contact with one of these, its links
-- and their partners, whoever reserved one of the addresses, and the links named by marks. Nothing is locked.
-- `k_…` are the keys so far; `c_…` are the connections in force, with the accounts on their sides.
CREATE FUNCTION sync.closure(
    INOUT k_accounts text[], INOUT k_ids text[], INOUT k_links uuid[], INOUT k_addresses text[],
    c_names text[], c_lefts text[], c_rights text[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    uuids CONSTANT text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
    m_links uuid[];
    m_names text[];
    m_lefts text[];
    m_rights text[];
BEGIN
    FOR turn IN 1..2 LOOP
        SELECT coalesce(array_agg(id), '{}'), array_agg(connection), array_agg(left_id), array_agg(right_id)
          INTO m_links, m_names, m_lefts, m_rights
          FROM (
            SELECT l.id, l.connection, l.left_id, l.right_id
              FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN unnest(c_names, c_lefts) c (name, account) ON c.account = k.account
              JOIN sync.link l ON l.connection = c.name AND l.left_id = k.id
             WHERE l.status <> 'ended'
            UNION
            SELECT l.id, l.connection, l.left_id, l.right_id
              FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN unnest(c_names, c_rights) c (name, account) ON c.account = k.account
              JOIN sync.link l ON l.connection = c.name AND l.right_id = k.id
             WHERE l.status <> 'ended'
            UNION
            SELECT l.id, l.connection, l.left_id, l.right_id FROM sync.link l WHERE l.id = ANY (k_links)
          ) met;
        k_links := ARRAY(SELECT unnest(k_links) UNION SELECT unnest(m_links));
        SELECT coalesce(array_agg(account), '{}'), coalesce(array_agg(id), '{}') INTO k_accounts, k_ids
          FROM (
            SELECT account, id FROM unnest(k_accounts, k_ids) k (account, id)
            UNION
            SELECT c.account, m.id
              FROM unnest(m_names, m_lefts) m (name, id) JOIN unnest(c_names, c_lefts) c (name, account) USING (name)
             WHERE m.id IS NOT NULL
            UNION
            SELECT c.account, m.id
              FROM unnest(m_names, m_rights) m (name, id) JOIN unnest(c_names, c_rights) c (name, account) USING (name)
             WHERE m.id IS NOT NULL
          ) met;
        EXIT WHEN turn = 2;

        -- Each end of a merge is looked up by an index of its own: with both in one condition, all that were ever
        -- merged would be read.
        WITH RECURSIVE chain (account, id) AS (
            SELECT * FROM unnest(k_accounts, k_ids)
            UNION
            SELECT chain.account, told.id FROM chain CROSS JOIN LATERAL (
                SELECT c.merged_into FROM sync.contact c
                 WHERE c.account = chain.account AND c.contact_id = chain.id AND c.merged_into IS NOT NULL
                UNION ALL
                SELECT c.contact_id FROM sync.contact c WHERE c.account = chain.account AND c.merged_into = chain.id
            ) told (id)
        )
        SELECT coalesce(array_agg(account), '{}'), coalesce(array_agg(id), '{}') INTO k_accounts, k_ids FROM chain;

        k_addresses := ARRAY(
            SELECT unnest(k_addresses)
            UNION
            SELECT a.address FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN sync.contact_address a ON a.account = k.account AND a.contact_id = k.id
            UNION
            SELECT address FROM sync.reservation WHERE link = ANY (k_links)
        );
        SELECT coalesce(array_agg(account), '{}'), coalesce(array_agg(id), '{}') INTO k_accounts, k_ids
          FROM (
            SELECT account, id FROM unnest(k_accounts, k_ids) k (account, id)
            UNION
            SELECT account, contact_id FROM sync.contact_address WHERE address = ANY (k_addresses)
          ) met;
        k_links := ARRAY(
            SELECT unnest(k_links)
            UNION
            SELECT link FROM sync.reservation WHERE address = ANY (k_addresses)
            UNION
            SELECT c.mark::uuid FROM unnest(k_accounts, k_ids) k (account, id)
              JOIN sync.contact c ON c.account = k.account AND c.contact_id = k.id
             WHERE c.mark ~ uuids
        );
        k_links := ARRAY(
            SELECT unnest(k_links)
            UNION
            SELECT wait_on::uuid FROM sync.link
             WHERE id = ANY (k_links) AND wait_reason = 'duplicate' AND wait_on ~ uuids
        );
    END LOOP;
END
$$;
