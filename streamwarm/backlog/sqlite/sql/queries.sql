-- Each query is preceded by its name. Parameters are named after columns.

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
    error_message, error_permanent, possible_duplicate, departed
) VALUES (
    :seq, :id, :destination, :kind, :r2_key, :sha256, :bytes, :options, :media_reference, :base_score, :state,
    :attempt, :created_at, :updated_at, :queued_at, :retry_at, :lease_token, :lease_expires_at, :result,
    :error_code, :error_message, :error_permanent, :possible_duplicate, :departed
);

-- name: update_job
UPDATE jobs SET
    state = :state, attempt = :attempt, updated_at = :updated_at, queued_at = :queued_at, retry_at = :retry_at,
    lease_token = :lease_token, lease_expires_at = :lease_expires_at, result = :result,
    error_code = :error_code, error_message = :error_message, error_permanent = :error_permanent,
    possible_duplicate = :possible_duplicate, departed = :departed
WHERE seq = :seq;

-- name: extend_lease
UPDATE jobs SET lease_expires_at = :lease_expires_at WHERE id = :id;

-- name: delete_job
DELETE FROM jobs WHERE seq = :seq;

-- name: delete_events_of_job
DELETE FROM events WHERE job_id = :id;

-- name: delete_unready_media_of_job
DELETE FROM media_cache
WHERE destination = :destination AND kind = :kind AND media_reference = :media_reference
    AND job_id = :job_id AND status <> 'ready';

-- name: newest_jobs
SELECT * FROM jobs WHERE seq < :before_seq ORDER BY seq DESC LIMIT :limit;

-- name: newest_seqs_in_place
SELECT seq FROM jobs INDEXED BY ix_jobs_list
WHERE destination = :destination AND state = :state AND seq < :before_seq ORDER BY seq DESC LIMIT :limit;

-- name: job_by_seq
SELECT * FROM jobs WHERE seq = :seq;

-- name: next_base_score
SELECT max(base_score) AS base_score FROM jobs INDEXED BY ix_jobs_queued
WHERE state = 'queued' AND destination = :destination AND base_score < :below;

-- name: queued_in_band
SELECT seq, id, destination, kind, bytes, queued_at FROM jobs INDEXED BY ix_jobs_queued
WHERE state = 'queued' AND destination = :destination AND base_score = :base_score
    AND queued_at BETWEEN :from_at AND :to_at
ORDER BY queued_at, seq LIMIT :limit;

-- name: queued_at_destination
SELECT seq, id, destination, kind, bytes, queued_at FROM jobs INDEXED BY ix_jobs_queued
WHERE state = 'queued' AND destination = :destination;

-- name: due_jobs
SELECT * FROM jobs INDEXED BY ix_jobs_due
WHERE state = 'waiting' AND retry_at <= :now ORDER BY retry_at, seq LIMIT :limit;

-- name: next_due_at
SELECT min(retry_at) AS retry_at FROM jobs INDEXED BY ix_jobs_due WHERE state = 'waiting';

-- name: running_jobs
SELECT * FROM jobs INDEXED BY ix_jobs_leased
WHERE state = 'running' AND lease_expires_at <= :expired_by ORDER BY lease_expires_at, seq LIMIT :limit;

-- name: ended_jobs
SELECT * FROM jobs INDEXED BY ix_jobs_ended
WHERE state = :state AND state IN ('done', 'failed', 'cancelled') AND updated_at < :ended_before
ORDER BY updated_at, seq LIMIT :limit;

-- name: job_counts
SELECT destination, state, jobs FROM job_counts WHERE jobs > 0;

-- name: oldest_queued_at
SELECT min(queued_at) AS queued_at FROM jobs INDEXED BY ix_jobs_oldest WHERE state = 'queued';

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

-- name: events_of_job_after
SELECT * FROM events WHERE job_id = :job_id AND seq > :seq ORDER BY seq LIMIT :limit;

-- name: ready_record
SELECT * FROM media_cache INDEXED BY ix_media_cache_lookup
WHERE destination = :destination AND kind = :kind AND media_reference = :media_reference AND status = 'ready';

-- name: newest_record_by_sha256
SELECT * FROM media_cache INDEXED BY ix_media_cache_sha256
WHERE destination = :destination AND kind = :kind AND sha256 = :sha256 AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT 1;

-- name: newest_record_by_r2_key
SELECT * FROM media_cache INDEXED BY ix_media_cache_r2_key
WHERE destination = :destination AND kind = :kind AND r2_key = :r2_key AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT 1;

-- name: put_record
INSERT INTO media_cache (
    destination, kind, media_reference, status, r2_key, sha256, bytes, result, job_id, updated_at
) VALUES (
    :destination, :kind, :media_reference, 'ready', :r2_key, :sha256, :bytes, :result, :job_id, :updated_at
)
ON CONFLICT (destination, kind, media_reference) DO UPDATE SET
    status = 'ready', r2_key = excluded.r2_key, sha256 = excluded.sha256, bytes = excluded.bytes,
    result = excluded.result, job_id = excluded.job_id, updated_at = excluded.updated_at;

-- name: mark_media
INSERT INTO media_cache (destination, kind, media_reference, status, r2_key, job_id, updated_at)
VALUES (:destination, :kind, :media_reference, :status, :r2_key, :job_id, :updated_at)
ON CONFLICT (destination, kind, media_reference) DO UPDATE SET
    status = excluded.status, job_id = excluded.job_id, updated_at = excluded.updated_at
WHERE status <> 'ready';

-- name: delete_unready_media
DELETE FROM media_cache
WHERE destination = :destination AND kind = :kind AND media_reference = :media_reference AND status <> 'ready';

-- name: delete_ready_record
DELETE FROM media_cache INDEXED BY ix_media_cache_lookup
WHERE destination = :destination AND kind = :kind AND media_reference = :media_reference AND status = 'ready';

-- name: delete_records_by_sha256
DELETE FROM media_cache INDEXED BY ix_media_cache_sha256
WHERE destination = :destination AND kind = :kind AND sha256 = :sha256 AND status = 'ready';

-- name: delete_records_by_r2_key
DELETE FROM media_cache INDEXED BY ix_media_cache_r2_key
WHERE destination = :destination AND kind = :kind AND r2_key = :r2_key AND status = 'ready';

-- name: put_seen
-- A digest that is known stays known while the object is the same.
INSERT INTO media_store (r2_key, bytes, etag, content_type, sha256, seen_at)
VALUES (:r2_key, :bytes, :etag, :content_type, :sha256, :seen_at)
ON CONFLICT (r2_key) DO UPDATE SET
    bytes = excluded.bytes, etag = excluded.etag, content_type = excluded.content_type, seen_at = excluded.seen_at,
    sha256 = CASE WHEN excluded.sha256 IS NULL AND excluded.etag = media_store.etag
        THEN media_store.sha256 ELSE excluded.sha256 END;

-- name: probe
INSERT OR REPLACE INTO write_probe (id, written_at) VALUES (1, :written_at);

-- name: put_pause
INSERT OR REPLACE INTO pauses (destination, until, paused_at) VALUES (:destination, :until, :paused_at);

-- name: delete_pause
DELETE FROM pauses WHERE destination = :destination;

-- name: pauses
SELECT destination, until, paused_at FROM pauses ORDER BY destination;

-- name: put_moved_lane
INSERT OR REPLACE INTO moved_lanes (destination, lane, address) VALUES (:destination, :lane, :address);

-- name: moved_lanes
SELECT destination, lane, address FROM moved_lanes ORDER BY destination, lane;

-- name: count_mend
INSERT INTO mends (destination, number) VALUES (:destination, 1)
ON CONFLICT (destination) DO UPDATE SET number = number + 1;

-- name: mends
SELECT destination, number FROM mends ORDER BY destination;

-- name: put_silence
INSERT INTO silences (destination, lane, until, reason) VALUES (:destination, :lane, :until, :reason)
ON CONFLICT (destination, lane) DO UPDATE SET until = excluded.until, reason = excluded.reason
WHERE excluded.until > silences.until;

-- name: silences
SELECT destination, lane, until, reason FROM silences ORDER BY destination, lane;
