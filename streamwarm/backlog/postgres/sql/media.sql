-- Warm records, and what was last seen of objects. The rules at the head of jobs.sql hold here too.

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

-- name: ready_records
SELECT found.* FROM unnest(%(destination)s::text[], %(kind)s::text[], %(media_reference)s::text[])
    AS wanted (destination, kind, media_reference)
CROSS JOIN LATERAL (
    SELECT * FROM media_cache
    WHERE media_cache.destination = wanted.destination AND media_cache.kind = wanted.kind
        -- Equality, written so that it needs this order: the other indexes begin with the same two columns too.
        AND media_cache.media_reference BETWEEN wanted.media_reference AND wanted.media_reference AND status = 'ready'
    ORDER BY media_cache.media_reference LIMIT 1
) AS found;

-- name: newest_records_by_sha256
SELECT * FROM media_cache
WHERE destination = %(destination)s AND kind = %(kind)s AND sha256 = %(sha256)s AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT %(limit)s;

-- name: newest_records_by_r2_key
SELECT * FROM media_cache
WHERE destination = %(destination)s AND kind = %(kind)s AND r2_key = %(r2_key)s AND status = 'ready'
ORDER BY updated_at DESC, id LIMIT %(limit)s;

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
-- A known digest is kept as long as the object is the same.
INSERT INTO media_store (r2_key, bytes, etag, content_type, sha256, seen_at)
SELECT * FROM unnest(
    %(r2_key)s::text[], %(bytes)s::bigint[], %(etag)s::text[], %(content_type)s::text[], %(sha256)s::text[],
    %(seen_at)s::double precision[]
)
ON CONFLICT (r2_key) DO UPDATE SET
    bytes = excluded.bytes, etag = excluded.etag, content_type = excluded.content_type, seen_at = excluded.seen_at,
    sha256 = CASE WHEN excluded.sha256 IS NULL AND excluded.etag = media_store.etag
        THEN media_store.sha256 ELSE excluded.sha256 END;
