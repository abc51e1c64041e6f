-- Writes and looks that nobody answers are sent again: the sweeper finds them by the time of the last try.
ALTER TABLE sync.link ADD COLUMN unsettled_since timestamptz;
COMMENT ON COLUMN sync.link.unsettled_since IS 'When the oldest of its unsettled writes was last sent; NULL: none';
UPDATE sync.link SET unsettled_since = updated_at WHERE unsettled > 0;
CREATE INDEX link_unsettled ON sync.link (unsettled_since) WHERE unsettled_since IS NOT NULL;
CREATE INDEX contact_looking ON sync.contact (updated_at) WHERE looking;
