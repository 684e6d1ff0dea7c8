-- Version 6. The attempts that have ended, one row each, and what a job's row keeps for that: `tries` counts its claims,
-- `host` and `process` have the running attempt. `first_failed_at` is when its first attempt failed: passing trouble fails
-- no job within 15 minutes of it.

ALTER TABLE jobs
    ADD COLUMN first_failed_at double precision,
    ADD COLUMN tries integer NOT NULL DEFAULT 0,
    ADD COLUMN host text COLLATE "C",
    ADD COLUMN process integer;

UPDATE jobs SET tries = attempt WHERE state IN ('queued', 'running', 'waiting', 'unknown') AND attempt > 0;

CREATE TABLE attempts (
    job_id          text COLLATE "C" NOT NULL,
    number          integer NOT NULL,
    started_at      double precision NOT NULL,
    ended_at        double precision NOT NULL,
    host            text COLLATE "C",
    process         integer,
    worker          integer,
    lane            text COLLATE "C",
    bytes           bigint,
    outcome         text COLLATE "C" NOT NULL,
    error_code      text COLLATE "C",
    error_message   text,
    error_permanent boolean,
    PRIMARY KEY (job_id, number)
);
