-- A contact that was observed again keeps its place on its page: an index on `updated_at` made every update write to
-- every index of the table.
DROP INDEX sync.contact_looking;
CREATE INDEX contact_looking ON sync.contact (account) WHERE looking;
ALTER TABLE sync.contact SET (fillfactor = 80);
