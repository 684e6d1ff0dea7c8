-- Version 3. What users have paused: a destination, or the whole service (the empty name, which no destination has). A row
-- without `until` lasts until it is resumed.

CREATE TABLE pauses (
    destination TEXT PRIMARY KEY,
    until       REAL,
    paused_at   REAL NOT NULL
) WITHOUT ROWID;
