-- Unsubscribes from one mailing list.
--
-- A table of its own: the key of suppressions names no list, and the release before writes to that table by its key. To that release an
-- unsubscribe from all lists still bars every message; to this one it bars bulk, whenever it was written, since its reason says so.

CREATE TABLE list_opt_outs (
  tenant TEXT NOT NULL,
  channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
  address TEXT NOT NULL,                -- as in suppressions
  list TEXT NOT NULL,                   -- in lower case
  since INTEGER,                        -- null while only a lift came
  lifted_at INTEGER,
  expires_at INTEGER,
  origin TEXT CHECK (origin IN ('feedback', 'refusal', 'link', 'operator', 'import')),
  provider TEXT,
  account TEXT,
  message_id BLOB,
  detail TEXT,
  PRIMARY KEY (tenant, channel, address, list)
) STRICT, WITHOUT ROWID;

-- The whole suppression list; an entry that holds for all lists has an empty one.
CREATE VIEW suppression_list AS
  SELECT tenant, channel, address, reason, '' AS list, since, lifted_at, expires_at, origin, provider, account, message_id, detail FROM suppressions
  UNION ALL
  SELECT tenant, channel, address, 'unsubscribe', list, since, lifted_at, expires_at, origin, provider, account, message_id, detail FROM list_opt_outs;

-- A class of failure that the release before does not know. The column class holds the nearest class that it knows.
ALTER TABLE attempts ADD COLUMN newer_class TEXT;

-- When the body of a code that a provider took is emptied: until then the provider may report that it kept the code back.
ALTER TABLE contents ADD COLUMN forget_at INTEGER;
CREATE INDEX contents_forget ON contents (forget_at) WHERE forget_at IS NOT NULL;
