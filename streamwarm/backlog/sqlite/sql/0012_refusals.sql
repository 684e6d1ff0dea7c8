-- Version 12. What is known of refusals: which lanes a job does not go to, and which lanes are set aside (`kind` is empty
-- for all kinds). The last attempts at a lane are found by the index; an attempt without a lane is not in it.

ALTER TABLE jobs ADD COLUMN barred TEXT;

CREATE TABLE set_asides (
    destination TEXT NOT NULL,
    lane        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    until       REAL NOT NULL,
    set_at      REAL NOT NULL,
    room        INTEGER,
    reason      TEXT NOT NULL,
    PRIMARY KEY (destination, lane, kind)
) WITHOUT ROWID;

CREATE INDEX ix_attempts_lane ON attempts (lane, ended_at) WHERE lane IS NOT NULL;
