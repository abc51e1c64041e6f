-- Where an app tells of merges, links follow them: deciding about the one merged away needs the one that stays.
ALTER TABLE sync.contact ADD COLUMN merged_into text;
COMMENT ON COLUMN sync.contact.merged_into IS 'The contact of its account that it was merged into, as the app told';
CREATE INDEX contact_merged_into ON sync.contact (account, merged_into) WHERE merged_into IS NOT NULL;
