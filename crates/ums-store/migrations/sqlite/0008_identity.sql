-- What database this is, for a process that has the database open while somebody restores another one into it.

CREATE TABLE identity (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  id TEXT NOT NULL,                                -- random
  mark INTEGER NOT NULL                            -- grows while a process sends; an earlier state has a smaller one
) STRICT;

INSERT INTO identity (only, id, mark) VALUES (1, lower(hex(randomblob(16))), 0);
