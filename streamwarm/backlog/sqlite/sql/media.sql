-- Warm records, and what was last seen of objects.

-- name: delete_unready_media_of_job
DELETE FROM media_cache
WHERE destination = :destination AND kind = :kind AND media_reference = :media_reference
    AND job_id = :job_id AND status <> 'ready';

-- name: ready_record
SELECT * FROM media_cache INDEXED BY ix_media_cache_lookup
WHERE destination = :destination AND kind = :kind AND media_reference = :media_reference AND status = 'ready';

-- name: newest_records_by_sha256
SELECT * FROM media_cache INDEXED BY ix_media_cache_sha256
WHERE destination = :destination AND kind = :kind AND sha256 = :sha256 AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT :limit;

-- name: newest_records_by_r2_key
SELECT * FROM media_cache INDEXED BY ix_media_cache_r2_key
WHERE destination = :destination AND kind = :kind AND r2_key = :r2_key AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT :limit;

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
-- A known digest is kept as long as the object is the same.
INSERT INTO media_store (r2_key, bytes, etag, content_type, sha256, seen_at)
VALUES (:r2_key, :bytes, :etag, :content_type, :sha256, :seen_at)
ON CONFLICT (r2_key) DO UPDATE SET
    bytes = excluded.bytes, etag = excluded.etag, content_type = excluded.content_type, seen_at = excluded.seen_at,
    sha256 = CASE WHEN excluded.sha256 IS NULL AND excluded.etag = media_store.etag
        THEN media_store.sha256 ELSE excluded.sha256 END;
