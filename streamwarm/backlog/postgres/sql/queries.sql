-- Each query is preceded by its name. Parameters are named after columns; many rows come as one array a column.
-- What a transaction is about to change it locks first, in the order of the ids (an index is read in its order) or of the
-- keys as they are given (sorted), so that two hosts seldom meet crosswise.
-- Many keys are looked up one by one (LATERAL … LIMIT 1), or as `= ANY`. A join can also be made the other way round, the
-- whole table for each key; for a table that was small when it was looked at last, the planner takes that to be cheap.

-- name: begin_write
SELECT last_write, extract(epoch FROM clock_timestamp())::double precision AS now
FROM writers WHERE id = %(writer)s FOR UPDATE;

-- name: add_writer
INSERT INTO writers (id, last_write, seen_at)
VALUES (%(writer)s, '', extract(epoch FROM clock_timestamp())) ON CONFLICT (id) DO NOTHING;

-- name: sign_write
UPDATE writers SET last_write = %(token)s, seen_at = %(now)s WHERE id = %(writer)s;

-- name: drop_old_writers
DELETE FROM writers WHERE seen_at < extract(epoch FROM clock_timestamp()) - %(age_s)s;

-- name: begin_read
SELECT extract(epoch FROM clock_timestamp())::double precision AS now;

-- name: jobs_by_id
SELECT * FROM jobs WHERE id = ANY(%(ids)s::text[]);

-- name: lock_jobs_by_id
SELECT * FROM jobs WHERE id = ANY(%(ids)s::text[]) FOR UPDATE;

-- name: lock_jobs_to_claim
SELECT * FROM jobs
WHERE id = ANY(%(ids)s::text[])
    AND state || '' = 'queued' -- an expression: the indexes of queued jobs are not to be walked for this
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
    error_message, error_permanent, possible_duplicate, departed
)
SELECT * FROM unnest(
    %(seq)s::bigint[], %(id)s::text[], %(destination)s::text[], %(kind)s::text[], %(r2_key)s::text[],
    %(sha256)s::text[], %(bytes)s::bigint[], %(options)s::text[], %(media_reference)s::text[],
    %(base_score)s::integer[], %(state)s::text[], %(attempt)s::integer[], %(created_at)s::double precision[],
    %(updated_at)s::double precision[], %(queued_at)s::double precision[], %(retry_at)s::double precision[],
    %(lease_token)s::text[], %(lease_expires_at)s::double precision[], %(result)s::text[],
    %(error_code)s::text[], %(error_message)s::text[], %(error_permanent)s::boolean[],
    %(possible_duplicate)s::boolean[], %(departed)s::boolean[]
);

-- name: update_jobs
UPDATE jobs SET
    state = new.state, attempt = new.attempt, updated_at = new.updated_at, queued_at = new.queued_at,
    retry_at = new.retry_at, lease_token = new.lease_token, lease_expires_at = new.lease_expires_at,
    result = new.result, error_code = new.error_code, error_message = new.error_message,
    error_permanent = new.error_permanent, possible_duplicate = new.possible_duplicate, departed = new.departed
FROM unnest(
    %(seq)s::bigint[], %(state)s::text[], %(attempt)s::integer[], %(updated_at)s::double precision[],
    %(queued_at)s::double precision[], %(retry_at)s::double precision[], %(lease_token)s::text[],
    %(lease_expires_at)s::double precision[], %(result)s::text[], %(error_code)s::text[],
    %(error_message)s::text[], %(error_permanent)s::boolean[], %(possible_duplicate)s::boolean[],
    %(departed)s::boolean[]
) AS new (
    seq, state, attempt, updated_at, queued_at, retry_at, lease_token, lease_expires_at, result, error_code,
    error_message, error_permanent, possible_duplicate, departed
)
WHERE jobs.seq = new.seq AND jobs.seq = ANY(%(seq)s::bigint[]);

-- name: extend_leases
UPDATE jobs SET lease_expires_at = %(lease_expires_at)s WHERE id = ANY(%(ids)s::text[]);

-- name: delete_jobs
DELETE FROM jobs WHERE seq = ANY(%(seqs)s::bigint[]);

-- name: delete_events_of_jobs
DELETE FROM events WHERE job_id = ANY(%(ids)s::text[]);

-- name: delete_unready_media_of_jobs
DELETE FROM media_cache WHERE id = ANY(ARRAY(
    SELECT found.id FROM unnest(
        %(destination)s::text[], %(kind)s::text[], %(media_reference)s::text[], %(job_id)s::text[]
    ) AS gone (destination, kind, media_reference, job_id)
    CROSS JOIN LATERAL (
        SELECT id FROM media_cache
        WHERE media_cache.destination = gone.destination AND media_cache.kind = gone.kind
            AND media_cache.media_reference = gone.media_reference AND media_cache.job_id = gone.job_id
        LIMIT 1 FOR UPDATE
    ) AS found
)) AND status <> 'ready';

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
        SELECT base_score FROM jobs WHERE state = 'queued' AND destination = %(destination)s
        ORDER BY base_score DESC LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT jobs.base_score FROM jobs
        WHERE state = 'queued' AND destination = %(destination)s AND jobs.base_score < score.base_score
        ORDER BY jobs.base_score DESC LIMIT 1
    ) FROM score WHERE score.base_score IS NOT NULL
)
SELECT base_score FROM score WHERE base_score IS NOT NULL;

-- name: queued_in_bands
SELECT found.* FROM unnest(
    %(destination)s::text[], %(base_score)s::integer[], %(from_at)s::double precision[], %(to_at)s::double precision[]
) AS band (destination, base_score, from_at, to_at)
CROSS JOIN LATERAL (
    SELECT seq, id, destination, kind, bytes, queued_at FROM jobs
    WHERE state = 'queued' AND jobs.destination = band.destination AND jobs.base_score = band.base_score
        AND queued_at BETWEEN band.from_at AND band.to_at
    ORDER BY queued_at, seq LIMIT %(limit)s
) AS found
ORDER BY found.queued_at, found.seq LIMIT %(limit)s;

-- name: queued_at_destination
SELECT seq, id, destination, kind, bytes, queued_at FROM jobs
WHERE state = 'queued' AND destination = %(destination)s;

-- name: lock_due_jobs
SELECT * FROM jobs WHERE state = 'waiting' AND retry_at <= %(now)s
ORDER BY retry_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: next_due_at
SELECT retry_at FROM jobs WHERE state = 'waiting' ORDER BY retry_at LIMIT 1;

-- name: lock_expired_jobs
SELECT * FROM jobs WHERE state = 'running' AND lease_expires_at <= %(expired_by)s
ORDER BY lease_expires_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: lock_ended_jobs
SELECT * FROM jobs
WHERE state = %(state)s AND state IN ('done', 'failed', 'cancelled') AND updated_at < %(ended_before)s
ORDER BY updated_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: job_counts
SELECT destination, state, jobs FROM job_counts WHERE jobs > 0;

-- name: oldest_queued_at
SELECT queued_at FROM jobs WHERE state = 'queued' ORDER BY queued_at + 0 LIMIT 1;

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

-- name: events_of_jobs_after
SELECT found.* FROM unnest(%(job_ids)s::text[]) AS wanted (job_id)
CROSS JOIN LATERAL (
    SELECT * FROM events WHERE events.job_id = wanted.job_id AND seq > %(seq)s ORDER BY seq LIMIT %(limit)s
) AS found
ORDER BY found.seq LIMIT %(limit)s;

-- name: ready_records
SELECT found.* FROM unnest(%(destination)s::text[], %(kind)s::text[], %(media_reference)s::text[])
    AS wanted (destination, kind, media_reference)
CROSS JOIN LATERAL (
    SELECT * FROM media_cache
    WHERE media_cache.destination = wanted.destination AND media_cache.kind = wanted.kind
        -- Equality, in words that ask for an order: the other indexes begin with the same two columns and have another.
        AND media_cache.media_reference BETWEEN wanted.media_reference AND wanted.media_reference AND status = 'ready'
    ORDER BY media_cache.media_reference LIMIT 1
) AS found;

-- name: newest_record_by_sha256
SELECT * FROM media_cache
WHERE destination = %(destination)s AND kind = %(kind)s AND sha256 = %(sha256)s AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT 1;

-- name: newest_record_by_r2_key
SELECT * FROM media_cache
WHERE destination = %(destination)s AND kind = %(kind)s AND r2_key = %(r2_key)s AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT 1;

-- name: put_records
INSERT INTO media_cache (
    destination, kind, media_reference, status, r2_key, sha256, bytes, result, job_id, updated_at
)
SELECT destination, kind, media_reference, 'ready', r2_key, sha256, bytes, result, job_id, updated_at
FROM unnest(
    %(destination)s::text[], %(kind)s::text[], %(media_reference)s::text[], %(r2_key)s::text[], %(sha256)s::text[],
    %(bytes)s::bigint[], %(result)s::text[], %(job_id)s::text[], %(updated_at)s::double precision[]
) AS new (destination, kind, media_reference, r2_key, sha256, bytes, result, job_id, updated_at)
ON CONFLICT (destination, kind, media_reference) DO UPDATE SET
    status = 'ready', r2_key = excluded.r2_key, sha256 = excluded.sha256, bytes = excluded.bytes,
    result = excluded.result, job_id = excluded.job_id, updated_at = excluded.updated_at;

-- name: mark_media
INSERT INTO media_cache (destination, kind, media_reference, status, r2_key, job_id, updated_at)
SELECT * FROM unnest(
    %(destination)s::text[], %(kind)s::text[], %(media_reference)s::text[], %(status)s::text[], %(r2_key)s::text[],
    %(job_id)s::text[], %(updated_at)s::double precision[]
)
ON CONFLICT (destination, kind, media_reference) DO UPDATE SET
    status = excluded.status, job_id = excluded.job_id, updated_at = excluded.updated_at
WHERE media_cache.status <> 'ready';

-- name: delete_unready_media
DELETE FROM media_cache WHERE id = ANY(ARRAY(
    SELECT found.id FROM unnest(%(destination)s::text[], %(kind)s::text[], %(media_reference)s::text[])
        AS gone (destination, kind, media_reference)
    CROSS JOIN LATERAL (
        SELECT id FROM media_cache
        WHERE media_cache.destination = gone.destination AND media_cache.kind = gone.kind
            AND media_cache.media_reference = gone.media_reference
        LIMIT 1 FOR UPDATE
    ) AS found
)) AND status <> 'ready';

-- name: delete_ready_record
DELETE FROM media_cache
WHERE destination = %(destination)s AND kind = %(kind)s AND media_reference = %(media_reference)s
    AND status = 'ready' RETURNING id;

-- name: delete_records_by_sha256
DELETE FROM media_cache
WHERE destination = %(destination)s AND kind = %(kind)s AND sha256 = %(sha256)s AND status = 'ready' RETURNING id;

-- name: delete_records_by_r2_key
DELETE FROM media_cache
WHERE destination = %(destination)s AND kind = %(kind)s AND r2_key = %(r2_key)s AND status = 'ready' RETURNING id;

-- name: put_seen
-- A digest that is known stays known while the object is the same.
INSERT INTO media_store (r2_key, bytes, etag, content_type, sha256, seen_at)
SELECT * FROM unnest(
    %(r2_key)s::text[], %(bytes)s::bigint[], %(etag)s::text[], %(content_type)s::text[], %(sha256)s::text[],
    %(seen_at)s::double precision[]
)
ON CONFLICT (r2_key) DO UPDATE SET
    bytes = excluded.bytes, etag = excluded.etag, content_type = excluded.content_type, seen_at = excluded.seen_at,
    sha256 = CASE WHEN excluded.sha256 IS NULL AND excluded.etag = media_store.etag
        THEN media_store.sha256 ELSE excluded.sha256 END;

-- name: probe
INSERT INTO write_probe (id, written_at) VALUES (1, %(written_at)s)
ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at;

-- name: put_pause
INSERT INTO pauses (destination, until, paused_at) VALUES (%(destination)s, %(until)s, %(paused_at)s)
ON CONFLICT (destination) DO UPDATE SET until = excluded.until, paused_at = excluded.paused_at;

-- name: delete_pause
DELETE FROM pauses WHERE destination = %(destination)s;

-- name: pauses
SELECT destination, until, paused_at FROM pauses ORDER BY destination;

-- name: put_moved_lane
INSERT INTO moved_lanes (destination, lane, address) VALUES (%(destination)s, %(lane)s, %(address)s)
ON CONFLICT (destination, lane) DO UPDATE SET address = excluded.address;

-- name: moved_lanes
SELECT destination, lane, address FROM moved_lanes ORDER BY destination, lane;

-- name: count_mend
INSERT INTO mends (destination, number) VALUES (%(destination)s, 1)
ON CONFLICT (destination) DO UPDATE SET number = mends.number + 1;

-- name: mends
SELECT destination, number FROM mends ORDER BY destination;

-- name: put_silence
INSERT INTO silences (destination, lane, until, reason)
VALUES (%(destination)s, %(lane)s, %(until)s, %(reason)s)
ON CONFLICT (destination, lane) DO UPDATE SET until = excluded.until, reason = excluded.reason
WHERE excluded.until > silences.until;

-- name: silences
SELECT destination, lane, until, reason FROM silences ORDER BY destination, lane;

-- name: put_process
INSERT INTO processes (id, seen_at) VALUES (%(id)s, %(seen_at)s)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at;

-- name: delete_process
DELETE FROM processes WHERE id = %(id)s;

-- name: delete_processes
DELETE FROM processes WHERE seen_at < %(seen_before)s;

-- name: count_processes
SELECT count(*) AS processes FROM processes;
