-- What operators decide about provider accounts. The release before does not read it.

CREATE TABLE provider_switches (
  provider TEXT NOT NULL,
  account TEXT NOT NULL,
  off TEXT,                             -- JSON: why, by whom, since and until when it is out of service; null when it serves
  tried_at INTEGER,                     -- when an operator last had it tried, and it did not say no
  PRIMARY KEY (provider, account)
) STRICT, WITHOUT ROWID;
