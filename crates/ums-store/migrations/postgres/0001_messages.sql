-- Messages and all that is known of them.
--
-- Times are microseconds UTC, money millionths of a currency, ids are UUIDv7. The keys of a tenant's
-- tables begin with the tenant, so that they can be distributed by it. Global tables: owners, breakers, probes, turns, pace,
-- pace_days, events, rates, feedback_cursors, schema_migrations.
--
-- Differs because several processes work at once: leases with an end, probes, turns and pace are shared. There are
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

-- What a provider reports names a message, but no tenant.
CREATE INDEX contents_message ON contents (message_id);

CREATE TABLE recipients (
  tenant text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  idx integer NOT NULL,                 -- 0 is the recipient that the message's status follows
  kind text COLLATE "C" NOT NULL CHECK (kind IN ('to', 'cc', 'bcc')),
  address text COLLATE "C" NOT NULL,
  folded text COLLATE "C",              -- as it is compared on the suppression list, where that is not lower(address)
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
  reported text COLLATE "C",            -- where it stands by the provider's feedback
  PRIMARY KEY (tenant, message_id, id)
);

CREATE INDEX attempts_sent ON attempts (provider, account, called_at) WHERE outcome IN ('accepted', 'unknown');

-- Along these, feedback finds its attempt. Nobody's id is longer; what a broken provider gives as one must not be too long for an index.
CREATE INDEX attempts_id ON attempts (id);
CREATE INDEX attempts_provider_message ON attempts (provider, provider_message_id) WHERE length(provider_message_id) <= 255;
CREATE INDEX attempts_unknown ON attempts (provider, account, called_at) WHERE outcome = 'unknown';

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

CREATE SEQUENCE event_numbers INCREMENT 65536; -- leaves room to count the events of one statement

-- What providers reported. Without a message while it is parked (it has a time to be looked at again then), or for good.
CREATE TABLE events (
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,         -- the provider's
  tenant text COLLATE "C",
  message_id uuid,
  number bigint NOT NULL,               -- order in which they came
  received_at bigint NOT NULL,
  due_at bigint,
  looks integer NOT NULL,
  event text NOT NULL,                  -- JSON, with the attempt and the time of receipt
  PRIMARY KEY (provider, account, id),
  CHECK ((tenant IS NULL) = (message_id IS NULL)),
  CHECK (message_id IS NULL OR due_at IS NULL)
);

CREATE INDEX events_message ON events (tenant, message_id, number) WHERE message_id IS NOT NULL;
CREATE INDEX events_due ON events (due_at, number) WHERE due_at IS NOT NULL;
CREATE INDEX events_age ON events (received_at) WHERE message_id IS NULL;

-- Addresses that must not be contacted. An entry is lifted, never removed: it is in force while it is younger than its lift.
CREATE TABLE suppressions (
  tenant text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL CHECK (channel IN ('email', 'sms')),
  address text COLLATE "C" NOT NULL,    -- an e-mail address in lower case, a number in E.164
  reason text COLLATE "C" NOT NULL CHECK (reason IN ('hard_bounce', 'complaint', 'stop', 'unsubscribe', 'manual')),
  since bigint,                         -- null while only a lift came: what it takes back may be reported later
  lifted_at bigint,
  expires_at bigint,
  origin text COLLATE "C" CHECK (origin IN ('feedback', 'refusal', 'link', 'operator', 'import')),
  provider text COLLATE "C",
  message_id uuid,
  detail text,
  PRIMARY KEY (tenant, channel, address, reason)
);

CREATE INDEX suppressions_provider ON suppressions (provider, reason, origin, since) WHERE provider IS NOT NULL;

-- URLs of users' applications.
CREATE TABLE endpoints (
  tenant text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  endpoint text NOT NULL,               -- JSON, without what follows
  disabled boolean NOT NULL,
  failing_since bigint,
  last_success_at bigint,
  last_error text,
  PRIMARY KEY (tenant, id)
);

-- What they are told.
CREATE TABLE notices (
  tenant text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  endpoint uuid NOT NULL,
  kind text COLLATE "C" NOT NULL,
  message_id uuid,
  at bigint NOT NULL,
  body text NOT NULL,                   -- JSON
  state text COLLATE "C" NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
  tries integer NOT NULL,
  due_at bigint NOT NULL,
  last_result text,
  PRIMARY KEY (tenant, id)
);

CREATE INDEX notices_due ON notices (tenant, endpoint, due_at, id) WHERE state = 'pending';
CREATE INDEX notices_endpoint ON notices (tenant, endpoint, id);
CREATE INDEX notices_message ON notices (tenant, message_id, id) WHERE message_id IS NOT NULL;
CREATE INDEX notices_age ON notices (at) WHERE state <> 'pending';

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

-- Who does something that one process at a time should do, until when on the database's clock.
CREATE TABLE turns (
  chore text COLLATE "C" NOT NULL PRIMARY KEY,
  owner bigint NOT NULL,
  until bigint NOT NULL
);

-- How far feedback that has to be asked for was read.
CREATE TABLE feedback_cursors (
  source text COLLATE "C" NOT NULL PRIMARY KEY,
  cursor text NOT NULL
);

-- What senders handed to provider accounts within five minutes, and what became of it.
CREATE TABLE rates (
  bucket bigint NOT NULL,
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  sender text COLLATE "C" NOT NULL,
  accepted bigint NOT NULL,
  receipts bigint NOT NULL,
  hard_bounces bigint NOT NULL,
  complaints bigint NOT NULL,
  PRIMARY KEY (bucket, provider, account, sender)
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
