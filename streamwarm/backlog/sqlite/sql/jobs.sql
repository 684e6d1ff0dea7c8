-- Jobs and events. Each query is preceded by its name. Parameters are named after columns.

-- name: job_by_id
SELECT * FROM jobs WHERE id = :id;

-- name: live_job
SELECT * FROM jobs INDEXED BY ix_jobs_live
WHERE destination = :destination AND kind = :kind AND media_reference = :media_reference
    AND state IN ('queued', 'running', 'waiting', 'unknown');

-- name: last_seq_of_table
SELECT seq FROM sqlite_sequence WHERE name = :name;

-- name: insert_job
INSERT INTO jobs (
    seq, id, destination, kind, r2_key, sha256, bytes, options, media_reference, base_score, state, attempt,
    created_at, updated_at, queued_at, retry_at, lease_token, lease_expires_at, result, error_code,
    error_message, error_permanent, possible_duplicate, departed, first_failed_at, tries, host, process, barred,
    to_check, joined_at, joined_etag
) VALUES (
    :seq, :id, :destination, :kind, :r2_key, :sha256, :bytes, :options, :media_reference, :base_score, :state,
    :attempt, :created_at, :updated_at, :queued_at, :retry_at, :lease_token, :lease_expires_at, :result,
    :error_code, :error_message, :error_permanent, :possible_duplicate, :departed, :first_failed_at,
    :tries, :host, :process, :barred, :to_check, :joined_at, :joined_etag
);

-- name: update_job
UPDATE jobs SET
    state = :state, attempt = :attempt, updated_at = :updated_at, queued_at = :queued_at, retry_at = :retry_at,
    lease_token = :lease_token, lease_expires_at = :lease_expires_at, result = :result,
    error_code = :error_code, error_message = :error_message, error_permanent = :error_permanent,
    possible_duplicate = :possible_duplicate, departed = :departed, first_failed_at = :first_failed_at,
    tries = :tries, host = :host, process = :process, barred = :barred, to_check = :to_check,
    joined_at = :joined_at, joined_etag = :joined_etag
WHERE seq = :seq;

-- name: unbar_jobs
UPDATE jobs SET barred = NULL
WHERE state IN ('queued', 'waiting') AND barred IS NOT NULL AND destination = :destination;

-- name: extend_lease
UPDATE jobs SET lease_expires_at = :lease_expires_at WHERE id = :id;

-- name: delete_job
DELETE FROM jobs WHERE seq = :seq;

-- name: delete_events_of_job
DELETE FROM events WHERE job_id = :id;

-- name: newest_jobs
SELECT * FROM jobs WHERE seq < :before_seq ORDER BY seq DESC LIMIT :limit;

-- name: newest_seqs_in_place
SELECT seq FROM jobs INDEXED BY ix_jobs_list
WHERE destination = :destination AND state = :state AND seq < :before_seq ORDER BY seq DESC LIMIT :limit;

-- name: job_by_seq
SELECT * FROM jobs WHERE seq = :seq;

-- name: next_base_score
SELECT max(base_score) AS base_score FROM jobs INDEXED BY ix_jobs_queued
WHERE state = 'queued' AND to_check = 0 AND destination = :destination AND base_score < :below;

-- name: queued_in_band
SELECT seq, id, destination, kind, bytes, queued_at, r2_key, barred FROM jobs INDEXED BY ix_jobs_queued
WHERE state = 'queued' AND to_check = 0 AND destination = :destination AND base_score = :base_score
    AND queued_at BETWEEN :from_at AND :to_at AND instr(:without_kinds, ',' || kind || ',') = 0
ORDER BY queued_at, seq LIMIT :limit;

-- name: queued_at_destination
SELECT seq, id, destination, kind, bytes, queued_at, r2_key, barred FROM jobs INDEXED BY ix_jobs_queued
WHERE state = 'queued' AND to_check = 0 AND destination = :destination;

-- name: jobs_to_check
SELECT * FROM jobs INDEXED BY ix_jobs_to_check_key WHERE to_check = 1 AND r2_key = :r2_key ORDER BY queued_at, seq;

-- name: keys_to_check
SELECT id, r2_key FROM jobs INDEXED BY ix_jobs_to_check
WHERE to_check = 1 AND queued_at <= :queued_by ORDER BY queued_at, seq LIMIT :limit;

-- name: due_jobs
SELECT * FROM jobs INDEXED BY ix_jobs_due
WHERE state = 'waiting' AND retry_at <= :now ORDER BY retry_at, seq LIMIT :limit;

-- name: next_due
SELECT id, retry_at FROM jobs INDEXED BY ix_jobs_due WHERE state = 'waiting' AND retry_at >= 0
ORDER BY retry_at, seq LIMIT :limit;

-- name: reset_retries
-- Only numbers are between two numbers.
UPDATE jobs SET retry_at = :now + min(max(retry_at - updated_at, 0), :longest_s), updated_at = :now
WHERE state = 'waiting' AND updated_at BETWEEN :ahead_from AND :latest AND retry_at BETWEEN 0 AND :latest;

-- name: reset_leases
UPDATE jobs INDEXED BY ix_jobs_leased SET lease_expires_at = :now + :lease_s
WHERE state = 'running' AND lease_expires_at BETWEEN :lease_from AND :latest;

-- name: running_jobs
SELECT * FROM jobs INDEXED BY ix_jobs_leased
WHERE state = 'running' AND lease_expires_at <= :expired_by ORDER BY lease_expires_at, seq LIMIT :limit;

-- name: ended_jobs
SELECT * FROM jobs INDEXED BY ix_jobs_ended
WHERE state = :state AND state IN ('done', 'failed', 'cancelled') AND updated_at < :ended_before
ORDER BY updated_at, seq LIMIT :limit;

-- name: job_counts
SELECT destination, state, jobs FROM job_counts WHERE jobs > 0 ORDER BY destination, state;

-- name: counted_jobs
SELECT destination, state, count(*) AS jobs FROM jobs GROUP BY destination, state ORDER BY destination, state;

-- name: delete_counts
DELETE FROM job_counts;

-- name: insert_count
INSERT INTO job_counts (destination, state, jobs) VALUES (:destination, :state, :jobs);

-- name: max_seq_of_jobs
SELECT max(seq) AS seq FROM jobs;

-- name: max_seq_of_events
SELECT max(seq) AS seq FROM events;

-- name: oldest_queued_at
SELECT min(queued_at) AS queued_at FROM jobs INDEXED BY ix_jobs_oldest WHERE state = 'queued' AND to_check = 0;

-- name: insert_event
INSERT INTO events (
    job_id, state, at, attempt, destination, kind, r2_key, result, error_code, error_message, error_permanent,
    retry_at
) VALUES (
    :job_id, :state, :at, :attempt, :destination, :kind, :r2_key, :result, :error_code, :error_message,
    :error_permanent, :retry_at
);

-- name: events_after
SELECT * FROM events WHERE seq > :seq ORDER BY seq LIMIT :limit;

-- name: event_seqs_of_job
SELECT seq FROM events WHERE job_id = :job_id AND seq > :after AND seq <= :until ORDER BY seq LIMIT :limit;

-- name: event_by_seq
SELECT * FROM events WHERE seq = :seq;
