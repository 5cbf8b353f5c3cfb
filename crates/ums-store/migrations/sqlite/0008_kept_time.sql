-- The trusted time as a process last kept it: the processes after it hold their clocks against it. A global table. The release before does
-- not read it.

CREATE TABLE kept_time (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  trusted_at INTEGER NOT NULL,
  boot TEXT,                            -- which start of which machine, and microseconds since then; null where that is not known
  up INTEGER,
  steady INTEGER NOT NULL,              -- microseconds without a jump
  CHECK ((boot IS NULL) = (up IS NULL))
) STRICT;
