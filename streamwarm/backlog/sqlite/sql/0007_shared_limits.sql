-- Version 7. What processes tell each other of a destination. `mends` counts how often a person said that it may be tried
-- again. `silences` are deadlines of 429s: of one lane, or with the empty name (no lane has it) of the whole destination.

CREATE TABLE mends (
    destination TEXT PRIMARY KEY,
    number      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE silences (
    destination TEXT NOT NULL,
    lane        TEXT NOT NULL,
    until       REAL NOT NULL,
    reason      TEXT NOT NULL,
    PRIMARY KEY (destination, lane)
) WITHOUT ROWID;
