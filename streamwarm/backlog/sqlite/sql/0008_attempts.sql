-- Version 8. The attempts that have ended, one row each, and what a job's row keeps for that: `tries` counts its claims,
-- `host` and `process` have the running attempt. `first_failed_at` is when its first attempt failed: passing trouble fails
-- no job within 15 minutes of it.

ALTER TABLE jobs ADD COLUMN first_failed_at REAL;
ALTER TABLE jobs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN host TEXT;
ALTER TABLE jobs ADD COLUMN process INTEGER;

UPDATE jobs SET tries = attempt WHERE state IN ('queued', 'running', 'waiting', 'unknown') AND attempt > 0;

CREATE TABLE attempts (
    job_id          TEXT NOT NULL,
    number          INTEGER NOT NULL,
    started_at      REAL NOT NULL,
    ended_at        REAL NOT NULL,
    host            TEXT,
    process         INTEGER,
    worker          INTEGER,
    lane            TEXT,
    bytes           INTEGER,
    outcome         TEXT NOT NULL,
    error_code      TEXT,
    error_message   TEXT,
    error_permanent INTEGER,
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;
