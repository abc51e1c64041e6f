-- json keeps every text that people write; jsonb refuses a NUL in one.
ALTER TABLE connectors.ledger ALTER COLUMN waiting TYPE json;
ALTER TABLE connectors.report ALTER COLUMN headers TYPE json;
