-- Jobs and events. Each query is preceded by its name. Parameters are named after columns. Many rows come as one array
-- per column.
-- A transaction first locks what it is about to change, in the order of the ids (an index is read in its order) or of
-- the keys as they are given (sorted). So two hosts seldom deadlock.
-- Many keys are looked up one by one (LATERAL … LIMIT 1), or with `= ANY`. The planner could reverse a join and read the
-- whole table for each key. If the table was small when its statistics were taken, it believes that this is cheap.

-- name: jobs_by_id
SELECT * FROM jobs WHERE id = ANY(%(ids)s::text[]);

-- name: lock_jobs_by_id
SELECT * FROM jobs WHERE id = ANY(%(ids)s::text[]) FOR UPDATE;

-- name: lock_jobs_to_claim
SELECT * FROM jobs
WHERE id = ANY(%(ids)s::text[])
    AND state || '' = 'queued' -- an expression: this must not walk the indexes of queued jobs
FOR UPDATE SKIP LOCKED;

-- name: live_jobs
SELECT found.* FROM unnest(%(destination)s::text[], %(kind)s::text[], %(media_reference)s::text[])
    AS wanted (destination, kind, media_reference)
CROSS JOIN LATERAL (
    SELECT * FROM jobs
    WHERE jobs.destination = wanted.destination AND jobs.kind = wanted.kind
        AND jobs.media_reference = wanted.media_reference AND state IN ('queued', 'running', 'waiting', 'unknown')
    LIMIT 1
) AS found;

-- name: lock_intake
SELECT value FROM counters WHERE name = 'jobs' FOR UPDATE;

-- name: counter
SELECT value FROM counters WHERE name = %(name)s;

-- name: raise_last_job_seq
UPDATE counters SET value = %(seq)s WHERE name = 'jobs' AND value < %(seq)s;

-- name: insert_jobs
INSERT INTO jobs (
    seq, id, destination, kind, r2_key, sha256, bytes, options, media_reference, base_score, state, attempt,
    created_at, updated_at, queued_at, retry_at, lease_token, lease_expires_at, result, error_code,
    error_message, error_permanent, possible_duplicate, departed, first_failed_at, tries, host, process, barred,
    to_check, joined_at, joined_etag
)
SELECT * FROM unnest(
    %(seq)s::bigint[], %(id)s::text[], %(destination)s::text[], %(kind)s::text[], %(r2_key)s::text[],
    %(sha256)s::text[], %(bytes)s::bigint[], %(options)s::text[], %(media_reference)s::text[],
    %(base_score)s::integer[], %(state)s::text[], %(attempt)s::integer[], %(created_at)s::double precision[],
    %(updated_at)s::double precision[], %(queued_at)s::double precision[], %(retry_at)s::double precision[],
    %(lease_token)s::text[], %(lease_expires_at)s::double precision[], %(result)s::text[],
    %(error_code)s::text[], %(error_message)s::text[], %(error_permanent)s::boolean[],
    %(possible_duplicate)s::boolean[], %(departed)s::boolean[], %(first_failed_at)s::double precision[],
    %(tries)s::integer[], %(host)s::text[], %(process)s::integer[], %(barred)s::text[], %(to_check)s::boolean[],
    %(joined_at)s::double precision[], %(joined_etag)s::text[]
);

-- name: update_jobs
UPDATE jobs SET
    state = new.state, attempt = new.attempt, updated_at = new.updated_at, queued_at = new.queued_at,
    retry_at = new.retry_at, lease_token = new.lease_token, lease_expires_at = new.lease_expires_at,
    result = new.result, error_code = new.error_code, error_message = new.error_message,
    error_permanent = new.error_permanent, possible_duplicate = new.possible_duplicate, departed = new.departed,
    first_failed_at = new.first_failed_at, tries = new.tries, host = new.host, process = new.process,
    barred = new.barred, to_check = new.to_check, joined_at = new.joined_at, joined_etag = new.joined_etag
FROM unnest(
    %(seq)s::bigint[], %(state)s::text[], %(attempt)s::integer[], %(updated_at)s::double precision[],
    %(queued_at)s::double precision[], %(retry_at)s::double precision[], %(lease_token)s::text[],
    %(lease_expires_at)s::double precision[], %(result)s::text[], %(error_code)s::text[],
    %(error_message)s::text[], %(error_permanent)s::boolean[], %(possible_duplicate)s::boolean[],
    %(departed)s::boolean[], %(first_failed_at)s::double precision[], %(tries)s::integer[], %(host)s::text[],
    %(process)s::integer[], %(barred)s::text[], %(to_check)s::boolean[], %(joined_at)s::double precision[],
    %(joined_etag)s::text[]
) AS new (
    seq, state, attempt, updated_at, queued_at, retry_at, lease_token, lease_expires_at, result, error_code,
    error_message, error_permanent, possible_duplicate, departed, first_failed_at, tries, host, process, barred,
    to_check, joined_at, joined_etag
)
WHERE jobs.seq = new.seq AND jobs.seq = ANY(%(seq)s::bigint[]);

-- name: unbar_jobs
UPDATE jobs SET barred = NULL
WHERE state IN ('queued', 'waiting') AND barred IS NOT NULL AND destination = %(destination)s;

-- name: extend_leases
UPDATE jobs SET lease_expires_at = %(lease_expires_at)s WHERE id = ANY(%(ids)s::text[]);

-- name: delete_jobs
DELETE FROM jobs WHERE seq = ANY(%(seqs)s::bigint[]);

-- name: delete_events_of_jobs
DELETE FROM events WHERE job_id = ANY(%(ids)s::text[]);

-- name: newest_jobs
SELECT * FROM jobs WHERE seq < %(before_seq)s ORDER BY seq DESC LIMIT %(limit)s;

-- name: newest_jobs_in_places
SELECT found.* FROM unnest(%(destination)s::text[], %(state)s::text[]) AS place (destination, state)
CROSS JOIN LATERAL (
    SELECT * FROM jobs
    WHERE jobs.destination = place.destination AND jobs.state = place.state AND seq < %(before_seq)s
    ORDER BY seq DESC LIMIT %(limit)s
) AS found
ORDER BY found.seq DESC LIMIT %(limit)s;

-- name: base_scores
WITH RECURSIVE score (base_score) AS (
    (
        SELECT base_score FROM jobs WHERE state = 'queued' AND NOT to_check AND destination = %(destination)s
        ORDER BY base_score DESC LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT jobs.base_score FROM jobs
        WHERE state = 'queued' AND NOT to_check AND destination = %(destination)s AND jobs.base_score < score.base_score
        ORDER BY jobs.base_score DESC LIMIT 1
    ) FROM score WHERE score.base_score IS NOT NULL
)
SELECT base_score FROM score WHERE base_score IS NOT NULL;

-- name: queued_in_bands
SELECT found.* FROM unnest(
    %(destination)s::text[], %(base_score)s::integer[], %(from_at)s::double precision[], %(to_at)s::double precision[],
    %(without_kinds)s::text[]
) AS band (destination, base_score, from_at, to_at, without_kinds)
CROSS JOIN LATERAL (
    SELECT seq, id, destination, kind, bytes, queued_at, r2_key, barred FROM jobs
    WHERE state = 'queued' AND NOT to_check AND jobs.destination = band.destination AND jobs.base_score = band.base_score
        AND queued_at BETWEEN band.from_at AND band.to_at
        AND strpos(band.without_kinds, ',' || kind || ',') = 0
    ORDER BY queued_at, seq LIMIT %(limit)s
) AS found
ORDER BY found.queued_at, found.seq LIMIT %(limit)s;

-- name: queued_at_destination
SELECT seq, id, destination, kind, bytes, queued_at, r2_key, barred FROM jobs
WHERE state = 'queued' AND NOT to_check AND destination = %(destination)s;

-- name: lock_jobs_to_check
SELECT found.* FROM unnest(%(r2_keys)s::text[]) AS wanted (r2_key)
CROSS JOIN LATERAL (
    SELECT * FROM jobs WHERE to_check AND jobs.r2_key BETWEEN wanted.r2_key AND wanted.r2_key
    ORDER BY jobs.r2_key, queued_at, seq OFFSET 0 FOR UPDATE
) AS found;

-- name: keys_to_check
SELECT id, r2_key FROM jobs WHERE to_check AND queued_at <= %(queued_by)s ORDER BY queued_at, seq LIMIT %(limit)s;

-- name: lock_due_jobs
SELECT * FROM jobs WHERE state = 'waiting' AND retry_at <= %(now)s
ORDER BY retry_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: next_due
SELECT id, retry_at FROM jobs WHERE state = 'waiting' ORDER BY retry_at, seq LIMIT %(limit)s;

-- name: reset_retries
-- No NaN is between two numbers.
UPDATE jobs SET
    retry_at = %(now)s + least(greatest(retry_at - updated_at, 0), %(longest_s)s), updated_at = %(now)s
WHERE state = 'waiting' AND updated_at BETWEEN %(ahead_from)s AND %(latest)s AND retry_at BETWEEN 0 AND %(latest)s;

-- name: reset_leases
UPDATE jobs SET lease_expires_at = %(now)s + %(lease_s)s
WHERE state = 'running' AND lease_expires_at BETWEEN %(lease_from)s AND %(latest)s;

-- name: lock_expired_jobs
SELECT * FROM jobs WHERE state = 'running' AND lease_expires_at <= %(expired_by)s
ORDER BY lease_expires_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: lock_ended_jobs
SELECT * FROM jobs
WHERE state = %(state)s AND state IN ('done', 'failed', 'cancelled') AND updated_at < %(ended_before)s
ORDER BY updated_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: job_counts
SELECT destination, state, jobs FROM job_counts WHERE jobs > 0 ORDER BY destination, state;

-- name: counted_jobs
SELECT destination, state, count(*) AS jobs FROM jobs GROUP BY destination, state ORDER BY destination, state;

-- name: delete_counts
DELETE FROM job_counts;

-- name: insert_counts
INSERT INTO job_counts (destination, state, jobs)
SELECT * FROM unnest(%(destination)s::text[], %(state)s::text[], %(jobs)s::bigint[]);

-- name: wrong_counters
SELECT name FROM counters
WHERE value IS NULL OR value < (
    CASE name WHEN 'jobs' THEN (SELECT coalesce(max(seq), 0) FROM jobs)
        ELSE (SELECT coalesce(max(seq), 0) FROM events) END
);

-- name: correct_counters
UPDATE counters SET value = greatest(coalesce(value, 0), (
    CASE name WHEN 'jobs' THEN (SELECT coalesce(max(seq), 0) FROM jobs)
        ELSE (SELECT coalesce(max(seq), 0) FROM events) END
));

-- name: oldest_queued_at
SELECT queued_at FROM jobs WHERE state = 'queued' AND NOT to_check ORDER BY queued_at + 0 LIMIT 1;

-- name: lock_numbering
SELECT value FROM counters WHERE name = 'events' FOR UPDATE;

-- name: insert_events
WITH numbered AS (
    UPDATE counters SET value = value + %(count)s WHERE name = 'events' RETURNING value - %(count)s AS before
)
INSERT INTO events (
    seq, job_id, state, at, attempt, destination, kind, r2_key, result, error_code, error_message, error_permanent,
    retry_at
)
SELECT
    numbered.before + new.number, job_id, state, at, attempt, destination, kind, r2_key, result, error_code,
    error_message, error_permanent, retry_at
FROM numbered, unnest(
    %(job_id)s::text[], %(state)s::text[], %(at)s::double precision[], %(attempt)s::integer[],
    %(destination)s::text[], %(kind)s::text[], %(r2_key)s::text[], %(result)s::text[], %(error_code)s::text[],
    %(error_message)s::text[], %(error_permanent)s::boolean[], %(retry_at)s::double precision[]
) WITH ORDINALITY AS new (
    job_id, state, at, attempt, destination, kind, r2_key, result, error_code, error_message, error_permanent,
    retry_at, number
);

-- name: add_to_counts
INSERT INTO job_counts (destination, state, jobs)
SELECT * FROM unnest(%(destination)s::text[], %(state)s::text[], %(jobs)s::bigint[])
ON CONFLICT (destination, state) DO UPDATE SET jobs = job_counts.jobs + excluded.jobs;

-- name: notify
SELECT value, pg_notify('streamwarm', tableoid || ' ' || value) FROM counters WHERE name = 'events';

-- name: last_notified
SELECT tableoid, value FROM counters WHERE name = 'events';

-- name: events_after
SELECT * FROM events WHERE seq > %(seq)s ORDER BY seq LIMIT %(limit)s;

-- The numbers are sorted, not the rows: those are read for what is returned.
-- name: event_seqs_of_jobs
SELECT found.seq FROM unnest(%(job_ids)s::text[]) AS wanted (job_id)
CROSS JOIN LATERAL (
    SELECT seq FROM events
    WHERE events.job_id = wanted.job_id AND seq > %(after)s AND seq <= %(until)s
    ORDER BY seq LIMIT %(limit)s
) AS found
ORDER BY found.seq LIMIT %(limit)s;

-- name: events_by_seq
SELECT found.* FROM unnest(%(seqs)s::bigint[]) AS wanted (seq)
CROSS JOIN LATERAL (SELECT * FROM events WHERE events.seq = wanted.seq LIMIT 1) AS found;
