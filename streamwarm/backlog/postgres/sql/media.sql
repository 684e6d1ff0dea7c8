-- Warm records, the status of media whose job is under way or has failed, and what was last seen of objects. The rules at
-- the head of jobs.sql hold here too. `OFFSET 0` keeps the planner from reversing a join, as `LIMIT 1` does.

-- name: lock_objects
SELECT pg_advisory_xact_lock('media_cache'::regclass::oid::integer, key) FROM unnest(%(keys)s::integer[]) AS key;

-- name: records_by_name
-- Equalities, written so that they need this order: another index has the same columns.
SELECT found.* FROM unnest(%(destination)s::text[], %(account)s::text[], %(kind)s::text[], %(r2_key)s::text[])
    AS wanted (destination, account, kind, r2_key)
CROSS JOIN LATERAL (
    SELECT * FROM media_cache
    WHERE media_cache.r2_key BETWEEN wanted.r2_key AND wanted.r2_key
        AND media_cache.destination BETWEEN wanted.destination AND wanted.destination
        AND media_cache.kind = wanted.kind AND media_cache.account = wanted.account
        AND status = 'ready' AND NOT superseded
    ORDER BY media_cache.r2_key, media_cache.destination LIMIT 1
) AS found;

-- name: newest_records_by_digest
SELECT found.* FROM unnest(%(destination)s::text[], %(account)s::text[], %(kind)s::text[], %(sha256)s::text[])
    AS wanted (destination, account, kind, sha256)
CROSS JOIN LATERAL (
    SELECT * FROM media_cache
    WHERE media_cache.destination = wanted.destination AND media_cache.account = wanted.account
        AND media_cache.kind = wanted.kind AND media_cache.sha256 = wanted.sha256 AND status = 'ready'
    ORDER BY opened_at DESC, media_cache.r2_key LIMIT %(limit)s
) AS found;

-- name: records_with_digest
SELECT * FROM media_cache
WHERE destination = %(destination)s AND account = %(account)s AND kind = %(kind)s AND sha256 = %(sha256)s
ORDER BY opened_at DESC, r2_key;

-- name: versions_of_names
SELECT found.* FROM unnest(%(destination)s::text[], %(account)s::text[], %(kind)s::text[], %(r2_key)s::text[])
    AS wanted (destination, account, kind, r2_key)
CROSS JOIN LATERAL (
    SELECT * FROM media_cache
    WHERE media_cache.destination = wanted.destination AND media_cache.account = wanted.account
        AND media_cache.kind = wanted.kind AND media_cache.r2_key = wanted.r2_key AND result IS NOT NULL
    ORDER BY version OFFSET 0
) AS found;

-- name: versions_of_objects
SELECT found.* FROM unnest(%(r2_keys)s::text[]) AS wanted (r2_key)
CROSS JOIN LATERAL (
    SELECT destination, account, kind, r2_key FROM media_cache
    WHERE media_cache.r2_key BETWEEN wanted.r2_key AND wanted.r2_key AND status = 'ready' AND NOT superseded
    ORDER BY media_cache.r2_key, media_cache.destination OFFSET 0
) AS name
CROSS JOIN LATERAL (
    SELECT * FROM media_cache
    WHERE media_cache.destination = name.destination AND media_cache.account = name.account
        AND media_cache.kind = name.kind AND media_cache.r2_key = name.r2_key AND result IS NOT NULL
    ORDER BY version OFFSET 0
) AS found;

-- name: put_records
INSERT INTO media_cache (
    destination, account, kind, r2_key, version, status, superseded, source_state, sha256, source_etag, bytes, result,
    options, warnings, job_id, opened_at, checked_at, suspect_at, reported_at, updated_at
)
SELECT * FROM unnest(
    %(destination)s::text[], %(account)s::text[], %(kind)s::text[], %(r2_key)s::text[], %(version)s::text[],
    %(status)s::text[], %(superseded)s::boolean[], %(source_state)s::text[], %(sha256)s::text[],
    %(source_etag)s::text[], %(bytes)s::bigint[], %(result)s::text[], %(options)s::text[], %(warnings)s::text[],
    %(job_id)s::text[], %(opened_at)s::double precision[], %(checked_at)s::double precision[],
    %(suspect_at)s::double precision[], %(reported_at)s::double precision[], %(updated_at)s::double precision[]
)
ON CONFLICT (destination, account, kind, r2_key, version) DO UPDATE SET
    status = excluded.status, superseded = excluded.superseded, source_state = excluded.source_state,
    sha256 = excluded.sha256, source_etag = excluded.source_etag, bytes = excluded.bytes, result = excluded.result,
    options = excluded.options, warnings = excluded.warnings, job_id = excluded.job_id, opened_at = excluded.opened_at,
    checked_at = excluded.checked_at, suspect_at = excluded.suspect_at, reported_at = excluded.reported_at,
    updated_at = excluded.updated_at;

-- name: delete_rows
DELETE FROM media_cache WHERE id = ANY(ARRAY(
    SELECT found.id FROM unnest(
        %(destination)s::text[], %(account)s::text[], %(kind)s::text[], %(r2_key)s::text[], %(version)s::text[]
    ) AS gone (destination, account, kind, r2_key, version)
    CROSS JOIN LATERAL (
        SELECT id FROM media_cache
        WHERE media_cache.destination = gone.destination AND media_cache.account = gone.account
            AND media_cache.kind = gone.kind AND media_cache.r2_key = gone.r2_key AND media_cache.version = gone.version
        LIMIT 1 FOR UPDATE
    ) AS found
));

-- name: next_account
SELECT min(account) AS account FROM media_cache
WHERE destination = %(destination)s AND account > %(after)s AND status = 'ready' AND NOT superseded;

-- name: reported_records
SELECT * FROM media_cache
WHERE destination = %(destination)s AND account = %(account)s AND reported_at > %(since)s AND NOT superseded
ORDER BY reported_at;

-- name: page_of_records
SELECT * FROM media_cache
WHERE status = 'ready' AND NOT superseded
    AND (r2_key, destination, kind, account) > (%(r2_key)s, %(destination)s, %(kind)s, %(account)s)
ORDER BY r2_key, destination, kind, account LIMIT %(limit)s;

-- name: page_of_records_in_state
SELECT * FROM media_cache
WHERE status = 'ready' AND NOT superseded AND source_state <> 'current' AND source_state = %(source_state)s
    AND (r2_key, destination, kind, account) > (%(r2_key)s, %(destination)s, %(kind)s, %(account)s)
ORDER BY r2_key, destination, kind, account LIMIT %(limit)s;

-- name: page_of_records_with_warnings
SELECT * FROM media_cache
WHERE status = 'ready' AND NOT superseded AND warnings IS NOT NULL
    AND (r2_key, destination, kind, account) > (%(r2_key)s, %(destination)s, %(kind)s, %(account)s)
ORDER BY r2_key, destination, kind, account LIMIT %(limit)s;

-- name: record_counts
SELECT destination, source_state, records FROM record_counts WHERE records > 0 ORDER BY destination, source_state;

-- name: add_to_record_counts
INSERT INTO record_counts (destination, source_state, records)
SELECT * FROM unnest(%(destination)s::text[], %(source_state)s::text[], %(records)s::bigint[])
ON CONFLICT (destination, source_state) DO UPDATE SET records = record_counts.records + excluded.records;

-- name: lock_orphans
-- Records without an account. `known`: the account has this version already; `outdone`: another one answers.
SELECT id, source_state, status = 'ready' AND NOT superseded AS answers,
    EXISTS (
        SELECT 1 FROM media_cache AS own
        WHERE own.destination = orphan.destination AND own.account = %(account)s AND own.kind = orphan.kind
            AND own.r2_key = orphan.r2_key AND own.version = orphan.version
    ) AS known,
    EXISTS (
        SELECT 1 FROM media_cache AS own
        WHERE own.r2_key = orphan.r2_key AND own.destination = orphan.destination AND own.kind = orphan.kind
            AND own.account = %(account)s AND own.status = 'ready' AND NOT own.superseded
    ) AS outdone
FROM media_cache AS orphan
WHERE destination = %(destination)s AND account = '' AND result IS NOT NULL
ORDER BY kind, r2_key, version LIMIT %(limit)s FOR UPDATE OF orphan;

-- name: delete_records_by_id
DELETE FROM media_cache WHERE id = ANY(%(ids)s::bigint[]);

-- name: supersede_records_by_id
UPDATE media_cache SET superseded = true WHERE id = ANY(%(ids)s::bigint[]);

-- name: adopt_records_by_id
UPDATE media_cache SET account = %(account)s WHERE id = ANY(%(ids)s::bigint[]);

-- name: mark_media
INSERT INTO media_cache (destination, account, kind, r2_key, version, status, job_id, updated_at)
SELECT destination, '', kind, r2_key, version, status, job_id, updated_at FROM unnest(
    %(destination)s::text[], %(kind)s::text[], %(r2_key)s::text[], %(version)s::text[], %(status)s::text[],
    %(job_id)s::text[], %(updated_at)s::double precision[]
) AS new (destination, kind, r2_key, version, status, job_id, updated_at)
ON CONFLICT (destination, account, kind, r2_key, version) DO UPDATE SET
    status = excluded.status, job_id = excluded.job_id, updated_at = excluded.updated_at;

-- name: delete_marks_of_jobs
DELETE FROM media_cache WHERE id = ANY(ARRAY(
    SELECT found.id FROM unnest(
        %(destination)s::text[], %(kind)s::text[], %(r2_key)s::text[], %(version)s::text[], %(job_id)s::text[]
    ) AS gone (destination, kind, r2_key, version, job_id)
    CROSS JOIN LATERAL (
        SELECT id FROM media_cache
        WHERE media_cache.destination = gone.destination AND media_cache.account = ''
            AND media_cache.kind = gone.kind AND media_cache.r2_key = gone.r2_key AND media_cache.version = gone.version
            AND media_cache.job_id = gone.job_id
        LIMIT 1 FOR UPDATE
    ) AS found
));

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
