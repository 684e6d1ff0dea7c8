-- Attempts that have ended.

-- name: insert_attempt
-- A number may be taken: a process of an older version does not count its claims.
INSERT INTO attempts (
    job_id, number, started_at, ended_at, host, process, worker, lane, bytes, outcome, error_code, error_message,
    error_permanent
) VALUES (
    :job_id, :number, :started_at, :ended_at, :host, :process, :worker, :lane, :bytes, :outcome, :error_code,
    :error_message, :error_permanent
) ON CONFLICT (job_id, number) DO NOTHING;

-- name: delete_old_attempts
DELETE FROM attempts WHERE job_id = :job_id AND number <= :up_to;

-- name: attempts_of_job
SELECT * FROM attempts WHERE job_id = :job_id ORDER BY number;

-- name: delete_attempts_of_job
DELETE FROM attempts WHERE job_id = :job_id;

-- name: attempts_at_lane
SELECT attempts.job_id, attempts.number, attempts.ended_at, attempts.outcome, attempts.error_code,
    attempts.error_message, attempts.error_permanent, jobs.destination, jobs.kind
FROM attempts JOIN jobs ON jobs.id = attempts.job_id
WHERE attempts.lane = :lane AND attempts.ended_at > :since
ORDER BY attempts.ended_at DESC LIMIT :limit;
