-- Messages and all that is known of them.
--
-- Times are microseconds UTC, money millionths of a currency, ids the 16 bytes of a UUIDv7. The keys
-- of a tenant's tables begin with the tenant. Global tables: owners, breakers, events (known by
-- the provider's id), rates, feedback_cursors, prune_walks, prune_passed.

-- Processes that open this database; a message under way names the one that works on it.
CREATE TABLE owners (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so that an old owner is always fenced
  epoch INTEGER NOT NULL,               -- when it registered
  until INTEGER NOT NULL                -- when it was last seen alive
) STRICT;

-- Where messages stand. Rows are small, because each step of a message rewrites one: what never
-- changes is in contents.
CREATE TABLE messages (
  tenant TEXT NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
  purpose TEXT NOT NULL CHECK (purpose IN ('otp', 'transactional', 'bulk')),
  lane INTEGER NOT NULL CHECK (lane IN (0, 1, 2)),
  status TEXT NOT NULL CHECK (status IN ('pending', 'scheduled', 'queued', 'sending', 'sent', 'delivered', 'bounced',
    'failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed', 'unknown')),
  error TEXT,
  accepted_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  due_at INTEGER,
  sent_at INTEGER,
  delivered_at INTEGER,
  owner INTEGER,                        -- null unless a process works on it
  token INTEGER NOT NULL,               -- grows whenever it changes hands
  mark INTEGER,                         -- of the last step, to know it when it is repeated
  PRIMARY KEY (tenant, id),
  CHECK (owner IS NULL OR due_at IS NULL)
) STRICT, WITHOUT ROWID;

-- The queue: tenant after tenant of a lane, and what is due first in it.
CREATE INDEX messages_due ON messages (lane, tenant, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX messages_next ON messages (lane, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_owned ON messages (owner) WHERE owner IS NOT NULL;
-- Providers know no tenants.
CREATE INDEX messages_id ON messages (id);

-- What was accepted; written once, emptied when it need not be kept. The numbers are the order of acceptance, in which
-- retention walks.
CREATE TABLE contents (
  seq INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  message_id BLOB NOT NULL,
  content TEXT NOT NULL,                -- JSON
  handling TEXT NOT NULL,               -- JSON
  metadata TEXT NOT NULL,               -- JSON
  UNIQUE (tenant, message_id),
  FOREIGN KEY (tenant, message_id) REFERENCES messages (tenant, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE recipients (
  tenant TEXT NOT NULL,
  message_id BLOB NOT NULL,
  idx INTEGER NOT NULL,                 -- 0 is the recipient that the message's status follows
  kind TEXT NOT NULL CHECK (kind IN ('to', 'cc', 'bcc')),
  address TEXT NOT NULL COLLATE NOCASE,
  status TEXT NOT NULL CHECK (status IN ('pending', 'scheduled', 'queued', 'sending', 'sent', 'delivered', 'bounced',
    'failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed', 'unknown')),
  reason TEXT,
  PRIMARY KEY (tenant, message_id, idx),
  FOREIGN KEY (tenant, message_id) REFERENCES messages (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX recipients_address ON recipients (tenant, address, message_id);

-- Calls to providers. The row is there, as 'calling', before the first byte is sent.
CREATE TABLE attempts (
  tenant TEXT NOT NULL,
  message_id BLOB NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  number INTEGER NOT NULL,              -- order within the message, from 1
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  called_at INTEGER NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('calling', 'accepted', 'failed', 'unknown')),
  class TEXT,
  code TEXT,
  detail TEXT,
  duration_ms INTEGER,
  provider_message_id TEXT,
  simulated INTEGER NOT NULL,
  from_substituted INTEGER NOT NULL,
  cost_micros INTEGER,
  reported TEXT CHECK (reported IN ('sent', 'failed', 'delivered', 'bounced')),
  PRIMARY KEY (tenant, message_id, id),
  FOREIGN KEY (tenant, message_id) REFERENCES messages (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_sent ON attempts (provider, account, called_at) WHERE outcome IN ('accepted', 'unknown');
CREATE INDEX attempts_unknown ON attempts (provider, account, called_at) WHERE outcome = 'unknown';
-- What feedback names.
CREATE INDEX attempts_id ON attempts (id);
CREATE INDEX attempts_reference ON attempts (provider, provider_message_id) WHERE provider_message_id IS NOT NULL;

-- Providers that were considered and passed over.
CREATE TABLE skips (
  tenant TEXT NOT NULL,
  message_id BLOB NOT NULL,
  number INTEGER NOT NULL,              -- order within the message, from 1
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  at INTEGER NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (tenant, message_id, number),
  FOREIGN KEY (tenant, message_id) REFERENCES messages (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What callers and operators did.
CREATE TABLE acts (
  tenant TEXT NOT NULL,
  message_id BLOB NOT NULL,
  number INTEGER NOT NULL,              -- order within the message, from 1
  at INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('cancelled', 'resent', 'replayed', 'marked')),
  detail TEXT NOT NULL,
  PRIMARY KEY (tenant, message_id, number),
  FOREIGN KEY (tenant, message_id) REFERENCES messages (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What providers reported. Without a message while it is parked (it has a time to be looked at again then), or for good.
CREATE TABLE events (
  number INTEGER PRIMARY KEY,           -- order in which they came
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  id TEXT NOT NULL,                     -- the provider's
  tenant TEXT,
  message_id BLOB,
  received_at INTEGER NOT NULL,
  due_at INTEGER,
  looks INTEGER NOT NULL,
  event TEXT NOT NULL,                  -- JSON, with the attempt and the time of receipt
  UNIQUE (provider, account, id),
  FOREIGN KEY (tenant, message_id) REFERENCES messages (tenant, id) ON DELETE CASCADE,
  CHECK ((tenant IS NULL) = (message_id IS NULL)),
  CHECK (message_id IS NULL OR due_at IS NULL)
) STRICT;

CREATE INDEX events_message ON events (tenant, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX events_due ON events (due_at, number) WHERE due_at IS NOT NULL;
CREATE INDEX events_age ON events (received_at) WHERE message_id IS NULL;

-- Addresses that must not be contacted. An entry is lifted, never removed: it is in force while it is younger than its lift.
CREATE TABLE suppressions (
  tenant TEXT NOT NULL,
  channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
  address TEXT NOT NULL,                -- an e-mail address in lower case, a number in E.164
  reason TEXT NOT NULL CHECK (reason IN ('hard_bounce', 'complaint', 'stop', 'unsubscribe', 'manual')),
  since INTEGER,                        -- null while only a lift came: what it takes back may be reported later
  lifted_at INTEGER,
  expires_at INTEGER,
  origin TEXT CHECK (origin IN ('feedback', 'refusal', 'link', 'operator', 'import')),
  provider TEXT,
  message_id BLOB,
  detail TEXT,
  PRIMARY KEY (tenant, channel, address, reason)
) STRICT, WITHOUT ROWID;

CREATE INDEX suppressions_provider ON suppressions (provider, reason, origin, since) WHERE provider IS NOT NULL;

-- URLs of users' applications.
CREATE TABLE endpoints (
  tenant TEXT NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  endpoint TEXT NOT NULL,               -- JSON, without what follows
  disabled INTEGER NOT NULL,
  failing_since INTEGER,
  last_success_at INTEGER,
  last_error TEXT,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- What they are told.
CREATE TABLE notices (
  tenant TEXT NOT NULL,
  id BLOB NOT NULL CHECK (length(id) = 16),
  endpoint BLOB NOT NULL,
  kind TEXT NOT NULL,
  message_id BLOB,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,                   -- JSON
  state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
  tries INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  last_result TEXT,
  PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX notices_due ON notices (tenant, endpoint, due_at, id) WHERE state = 'pending';
CREATE INDEX notices_endpoint ON notices (tenant, endpoint, id);
CREATE INDEX notices_message ON notices (tenant, message_id, id) WHERE message_id IS NOT NULL;
CREATE INDEX notices_age ON notices (at) WHERE state <> 'pending';

-- Callers' keys; a key may outlive its message.
CREATE TABLE idempotency (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
  message_id BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_expiry ON idempotency (expires_at);

CREATE TABLE breakers (
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  state TEXT NOT NULL,                  -- JSON
  changed_at INTEGER NOT NULL,
  version INTEGER NOT NULL,             -- grows with each write
  writer INTEGER NOT NULL,              -- the owner that wrote it
  PRIMARY KEY (provider, account)
) STRICT, WITHOUT ROWID;

-- How far sources of feedback were read.
CREATE TABLE feedback_cursors (
  source TEXT PRIMARY KEY,
  cursor TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What senders handed to provider accounts within five minutes, and what became of it.
CREATE TABLE rates (
  bucket INTEGER NOT NULL,
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  sender TEXT NOT NULL,
  accepted INTEGER NOT NULL,
  receipts INTEGER NOT NULL,
  hard_bounces INTEGER NOT NULL,
  complaints INTEGER NOT NULL,
  PRIMARY KEY (bucket, provider, account, sender)
) STRICT, WITHOUT ROWID;

-- How far retention has walked along contents.seq: once for bodies, once for whole messages.
CREATE TABLE prune_walks (
  kind TEXT PRIMARY KEY CHECK (kind IN ('bodies', 'messages')),
  walked INTEGER NOT NULL,              -- up to this row, all were removed or passed
  looked INTEGER NOT NULL               -- up to this row, those that were passed were looked at again
) STRICT, WITHOUT ROWID;

INSERT INTO prune_walks (kind, walked, looked) VALUES ('bodies', 0, 0), ('messages', 0, 0);

-- Messages that retention has passed because they had not ended; looked at again by each run.
CREATE TABLE prune_passed (
  kind TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (kind, seq)
) STRICT, WITHOUT ROWID;
