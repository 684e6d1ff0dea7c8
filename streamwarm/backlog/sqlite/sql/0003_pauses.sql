-- Version 3. What a person has paused: a destination by its name, or with the empty name (no destination has it) the
-- whole service. A row without `until` stands until it is resumed.

CREATE TABLE pauses (
    destination TEXT PRIMARY KEY,
    until       REAL,
    paused_at   REAL NOT NULL
) WITHOUT ROWID;
