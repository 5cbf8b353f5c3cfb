-- Whose fault an entry of the suppression list is, by provider account, and the decisions to undo such entries.

ALTER TABLE suppressions ADD COLUMN account TEXT;  -- at the provider; null in an entry of the release before: the default account

CREATE TABLE undos (
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  reason TEXT NOT NULL,
  origin TEXT NOT NULL,
  since INTEGER NOT NULL,                          -- of the entries: the earliest and the latest
  until INTEGER NOT NULL,
  decided_at INTEGER NOT NULL,
  PRIMARY KEY (provider, account, reason, origin, since)
) STRICT, WITHOUT ROWID;
