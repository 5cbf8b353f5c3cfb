-- Messages and all that is known of them.
--
-- Times are microseconds UTC, money millionths of a currency, ids are UUIDv7. The keys of a tenant's
-- tables begin with the tenant, so that they can be distributed by it. Global tables: owners, breakers, probes, pace,
-- pace_days, schema_migrations.
--
-- Differs because several processes work at once: leases with an end, probes and pace are shared. There are
-- no foreign keys: every row is written by statements of one crate, in one transaction with its message,
-- and a check of each row would cost as much as the row.

-- Processes that work on messages; a message under way names the one that does. The clock is the database's.
CREATE TABLE owners (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never used twice, so that an old owner is always fenced
  epoch bigint NOT NULL,                -- when it registered
  until bigint NOT NULL                 -- the end of its lease; 0 once it left or was found dead
);

-- Where messages stand. Rows are small, because each step of a message writes one anew: what never
-- changes is in contents.
CREATE TABLE messages (
  tenant text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  channel text COLLATE "C" NOT NULL CHECK (channel IN ('email', 'sms')),
  purpose text COLLATE "C" NOT NULL CHECK (purpose IN ('otp', 'transactional', 'bulk')),
  lane smallint NOT NULL CHECK (lane IN (0, 1, 2)),
  status text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'scheduled', 'queued', 'sending', 'sent', 'delivered', 'bounced',
    'failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed', 'unknown')),
  error text,
  accepted_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  due_at bigint,
  sent_at bigint,
  delivered_at bigint,
  owner bigint,                         -- null unless a process works on it
  token bigint NOT NULL,                -- grows whenever it changes hands
  mark bigint,                          -- of the last step, to know it when it is repeated
  PRIMARY KEY (tenant, id),
  CHECK (owner IS NULL OR due_at IS NULL)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 1);

-- The queue: tenant after tenant of a lane, and what is due first in it.
CREATE INDEX messages_due ON messages (lane, tenant, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX messages_owned ON messages (owner) WHERE owner IS NOT NULL;

-- What was accepted; written once, emptied when it need not be kept.
CREATE TABLE contents (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  accepted_at bigint NOT NULL,
  has_body boolean NOT NULL,
  content text NOT NULL,                -- JSON; not jsonb, which cannot hold the character U+0000
  handling text NOT NULL,               -- JSON
  metadata text NOT NULL,               -- JSON
  PRIMARY KEY (tenant, message_id)
);

-- Along these, retention walks.
CREATE INDEX contents_age ON contents (accepted_at, message_id);
CREATE INDEX contents_bodies ON contents (accepted_at, message_id) WHERE has_body;

CREATE TABLE recipients (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  idx integer NOT NULL,                 -- 0 is the recipient that the message's status follows
  kind text COLLATE "C" NOT NULL CHECK (kind IN ('to', 'cc', 'bcc')),
  address text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'scheduled', 'queued', 'sending', 'sent', 'delivered', 'bounced',
    'failed', 'expired', 'cancelled', 'suppressed', 'unsubscribed', 'unknown')),
  reason text,
  PRIMARY KEY (tenant, message_id, idx)
) WITH (fillfactor = 85);

CREATE INDEX recipients_address ON recipients (tenant, lower(address), message_id);

-- Calls to providers. The row is there, as 'calling', before the first byte is sent.
CREATE TABLE attempts (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  id uuid NOT NULL,
  number integer NOT NULL,              -- order within the message
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  called_at bigint NOT NULL,
  outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('calling', 'accepted', 'failed', 'unknown')),
  class text COLLATE "C",
  code text,
  detail text,
  duration_ms bigint,
  provider_message_id text,
  simulated boolean NOT NULL,
  from_substituted boolean NOT NULL,
  cost_micros bigint,
  PRIMARY KEY (tenant, message_id, id)
);

CREATE INDEX attempts_sent ON attempts (provider, account, called_at) WHERE outcome IN ('accepted', 'unknown');

-- Providers that were considered and passed over.
CREATE TABLE skips (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  number integer NOT NULL,              -- order within the message
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  at bigint NOT NULL,
  reason text NOT NULL,
  detail text NOT NULL,
  PRIMARY KEY (tenant, message_id, number)
);

-- What callers and operators did.
CREATE TABLE acts (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  number integer NOT NULL,              -- order within the message
  at bigint NOT NULL,
  kind text COLLATE "C" NOT NULL CHECK (kind IN ('cancelled', 'resent', 'replayed', 'marked')),
  detail text NOT NULL,
  PRIMARY KEY (tenant, message_id, number)
);

-- Callers' keys; a key may outlive its message.
CREATE TABLE idempotency (
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
  message_id uuid NOT NULL,
  expires_at bigint NOT NULL,
  PRIMARY KEY (tenant, key)
);

CREATE INDEX idempotency_expiry ON idempotency (expires_at);

CREATE SEQUENCE breaker_versions;

CREATE TABLE breakers (
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  state text NOT NULL,                  -- JSON
  changed_at bigint NOT NULL,
  version bigint NOT NULL,              -- grows with each write
  writer bigint NOT NULL,               -- the owner that wrote it
  PRIMARY KEY (provider, account)
);

-- Who may probe a recovering provider, until when on the database's clock.
CREATE TABLE probes (
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  owner bigint NOT NULL,
  until bigint NOT NULL,
  PRIMARY KEY (provider, account)
);

-- What was given of accounts' pace a second: when the last unit given is used up, on the database's clock.
CREATE TABLE pace (
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  used_until bigint NOT NULL,
  PRIMARY KEY (provider, account)
);

-- What was given of accounts' limits a day, by half-hours of the database's clock.
CREATE TABLE pace_days (
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  half_hour bigint NOT NULL,            -- since 1970
  units bigint NOT NULL,
  PRIMARY KEY (provider, account, half_hour)
);
