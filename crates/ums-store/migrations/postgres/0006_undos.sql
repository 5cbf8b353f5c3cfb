-- Whose fault an entry of the suppression list is, by provider account, and the decisions to undo such entries.

ALTER TABLE suppressions ADD COLUMN account text COLLATE "C";  -- at the provider; null in an entry of the release before: the default account

CREATE TABLE undos (
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  origin text COLLATE "C" NOT NULL,
  since bigint NOT NULL,                           -- of the entries: the earliest and the latest
  until bigint NOT NULL,
  decided_at bigint NOT NULL,
  PRIMARY KEY (provider, account, reason, origin, since)
);
