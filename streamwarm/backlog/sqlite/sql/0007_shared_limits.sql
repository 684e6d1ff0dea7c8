-- Version 7. What processes share about destinations. `mends` counts how often users have resumed one. `silences` has the
-- ends of cooldowns (429s): of one lane, or of the whole destination (the empty name, which no lane has).

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
