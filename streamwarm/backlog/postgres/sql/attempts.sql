-- Attempts that have ended. The rules at the head of jobs.sql hold here too.

-- name: insert_attempts
-- A number may be taken: a process of an older version does not count its claims.
INSERT INTO attempts (
    job_id, number, started_at, ended_at, host, process, worker, lane, bytes, outcome, error_code, error_message,
    error_permanent
)
SELECT * FROM unnest(
    %(job_id)s::text[], %(number)s::integer[], %(started_at)s::double precision[], %(ended_at)s::double precision[],
    %(host)s::text[], %(process)s::integer[], %(worker)s::integer[], %(lane)s::text[], %(bytes)s::bigint[],
    %(outcome)s::text[], %(error_code)s::text[], %(error_message)s::text[], %(error_permanent)s::boolean[]
)
ON CONFLICT (job_id, number) DO NOTHING;

-- name: delete_old_attempts
DELETE FROM attempts USING unnest(%(job_id)s::text[], %(up_to)s::integer[]) AS old (job_id, up_to)
WHERE attempts.job_id = ANY(%(job_id)s::text[]) AND attempts.job_id = old.job_id AND attempts.number <= old.up_to;

-- name: attempts_of_job
SELECT * FROM attempts WHERE job_id = %(job_id)s ORDER BY number;

-- name: delete_attempts_of_jobs
DELETE FROM attempts WHERE job_id = ANY(%(ids)s::text[]);

-- name: attempts_at_lane
SELECT attempts.job_id, attempts.number, attempts.ended_at, attempts.outcome, attempts.error_code,
    attempts.error_message, attempts.error_permanent, jobs.destination, jobs.kind
FROM attempts JOIN jobs ON jobs.id = attempts.job_id
WHERE attempts.lane = %(lane)s AND attempts.ended_at > %(since)s
ORDER BY attempts.ended_at DESC LIMIT %(limit)s;
