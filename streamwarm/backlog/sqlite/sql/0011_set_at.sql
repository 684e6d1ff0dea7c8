-- Version 11. `set_at` is when a cooldown began, by the same clock as its end. If that clock is set back, the cooldown
-- begins anew, so it lasts at most twice as long. A damaged count must not stop the jobs that it counts, so it never falls
-- below zero.

ALTER TABLE silences ADD COLUMN set_at REAL;

DROP TRIGGER jobs_moved;

CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE job_counts SET jobs = max(0, CAST(jobs AS INTEGER) - 1)
        WHERE destination = old.destination AND state = old.state;
    INSERT INTO job_counts VALUES (new.destination, new.state, 1)
        ON CONFLICT (destination, state) DO UPDATE SET jobs = CAST(jobs AS INTEGER) + 1;
END;

DROP TRIGGER jobs_deleted;

CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET jobs = max(0, CAST(jobs AS INTEGER) - 1)
        WHERE destination = old.destination AND state = old.state;
END;
