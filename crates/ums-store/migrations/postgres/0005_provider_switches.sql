-- What operators decide about provider accounts; a global table. The release before does not read it.

CREATE TABLE provider_switches (
  provider text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  off text,                             -- JSON: why, by whom, since and until when it is out of service; null when it serves
  tried_at bigint,                      -- when an operator last had it tried, and it did not say no
  PRIMARY KEY (provider, account)
);
