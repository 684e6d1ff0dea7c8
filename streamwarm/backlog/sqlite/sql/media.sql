-- Warm records, the status of media whose job is under way or has failed, and what was last seen of objects.

-- name: record_by_name
SELECT * FROM media_cache INDEXED BY ix_media_cache_lookup
WHERE destination = :destination AND account = :account AND kind = :kind AND r2_key = :r2_key
    AND status = 'ready' AND superseded = 0
LIMIT :limit;

-- name: newest_record_by_digest
SELECT * FROM media_cache INDEXED BY ix_media_cache_sha256
WHERE destination = :destination AND account = :account AND kind = :kind AND sha256 = :sha256 AND status = 'ready'
ORDER BY opened_at DESC, r2_key LIMIT :limit;

-- name: records_with_digest
SELECT * FROM media_cache INDEXED BY ix_media_cache_sha256
WHERE destination = :destination AND account = :account AND kind = :kind AND sha256 = :sha256
ORDER BY opened_at DESC, r2_key;

-- name: versions_of_name
SELECT * FROM media_cache
WHERE destination = :destination AND account = :account AND kind = :kind AND r2_key = :r2_key
    AND result IS NOT NULL;

-- name: names_of_object
SELECT DISTINCT destination, account, kind, r2_key FROM media_cache INDEXED BY ix_media_cache_lookup
WHERE r2_key = :r2_key AND status = 'ready' AND superseded = 0;

-- name: put_record
INSERT INTO media_cache (
    destination, account, kind, r2_key, version, status, superseded, source_state, sha256, source_etag, bytes, result,
    options, warnings, job_id, opened_at, checked_at, suspect_at, reported_at, updated_at
) VALUES (
    :destination, :account, :kind, :r2_key, :version, :status, :superseded, :source_state, :sha256, :source_etag, :bytes,
    :result, :options, :warnings, :job_id, :opened_at, :checked_at, :suspect_at, :reported_at, :updated_at
)
ON CONFLICT (destination, account, kind, r2_key, version) DO UPDATE SET
    status = excluded.status, superseded = excluded.superseded, source_state = excluded.source_state,
    sha256 = excluded.sha256, source_etag = excluded.source_etag, bytes = excluded.bytes, result = excluded.result,
    options = excluded.options, warnings = excluded.warnings, job_id = excluded.job_id, opened_at = excluded.opened_at,
    checked_at = excluded.checked_at, suspect_at = excluded.suspect_at, reported_at = excluded.reported_at,
    updated_at = excluded.updated_at;

-- name: next_account
SELECT min(account) AS account FROM media_cache
WHERE destination = :destination AND account > :after AND status = 'ready' AND superseded = 0;

-- name: note_compared
UPDATE media_cache SET checked_at = :checked_at, source_etag = :source_etag, opened_at = :opened_at
WHERE destination = :destination AND account = :account AND kind = :kind AND r2_key = :r2_key AND version = :version;

-- name: delete_record
DELETE FROM media_cache
WHERE destination = :destination AND account = :account AND kind = :kind AND r2_key = :r2_key AND version = :version;

-- name: reported_records
SELECT * FROM media_cache INDEXED BY ix_media_cache_reported
WHERE destination = :destination AND account = :account AND reported_at > :since AND superseded = 0;

-- name: page_of_records
SELECT * FROM media_cache INDEXED BY ix_media_cache_lookup
WHERE status = 'ready' AND superseded = 0
    AND (r2_key, destination, kind, account) > (:r2_key, :destination, :kind, :account)
ORDER BY r2_key, destination, kind, account LIMIT :limit;

-- name: page_of_records_in_state
SELECT * FROM media_cache INDEXED BY ix_media_cache_state
WHERE status = 'ready' AND superseded = 0 AND source_state <> 'current' AND source_state = :source_state
    AND (r2_key, destination, kind, account) > (:r2_key, :destination, :kind, :account)
ORDER BY r2_key, destination, kind, account LIMIT :limit;

-- name: page_of_records_with_warnings
SELECT * FROM media_cache INDEXED BY ix_media_cache_warnings
WHERE status = 'ready' AND superseded = 0 AND warnings IS NOT NULL
    AND (r2_key, destination, kind, account) > (:r2_key, :destination, :kind, :account)
ORDER BY r2_key, destination, kind, account LIMIT :limit;

-- name: record_counts
SELECT destination, source_state, records FROM record_counts WHERE records > 0;

-- name: orphans
-- Records without an account. `known`: the account has this version already; `outdone`: another one answers.
SELECT id,
    EXISTS (
        SELECT 1 FROM media_cache AS own
        WHERE own.destination = orphan.destination AND own.account = :account AND own.kind = orphan.kind
            AND own.r2_key = orphan.r2_key AND own.version = orphan.version
    ) AS known,
    EXISTS (
        SELECT 1 FROM media_cache AS own INDEXED BY ix_media_cache_lookup
        WHERE own.destination = orphan.destination AND own.account = :account AND own.kind = orphan.kind
            AND own.r2_key = orphan.r2_key AND own.status = 'ready' AND own.superseded = 0
    ) AS outdone
FROM media_cache AS orphan
WHERE destination = :destination AND account = '' AND result IS NOT NULL LIMIT :limit;

-- name: delete_record_by_id
DELETE FROM media_cache WHERE id = :id;

-- name: adopt_record_by_id
UPDATE media_cache SET account = :account, superseded = superseded OR :outdone WHERE id = :id;

-- name: mark_media
INSERT INTO media_cache (destination, account, kind, r2_key, version, status, job_id, updated_at)
VALUES (:destination, '', :kind, :r2_key, :version, :status, :job_id, :updated_at)
ON CONFLICT (destination, account, kind, r2_key, version) DO UPDATE SET
    status = excluded.status, job_id = excluded.job_id, updated_at = excluded.updated_at;

-- name: delete_mark
DELETE FROM media_cache
WHERE destination = :destination AND account = '' AND kind = :kind AND r2_key = :r2_key AND version = :version;

-- name: delete_mark_of_job
DELETE FROM media_cache
WHERE destination = :destination AND account = '' AND kind = :kind AND r2_key = :r2_key AND version = :version
    AND job_id = :job_id;

-- name: put_seen
-- A known digest is kept as long as the object is the same.
INSERT INTO media_store (r2_key, bytes, etag, content_type, sha256, seen_at)
VALUES (:r2_key, :bytes, :etag, :content_type, :sha256, :seen_at)
ON CONFLICT (r2_key) DO UPDATE SET
    bytes = excluded.bytes, etag = excluded.etag, content_type = excluded.content_type, seen_at = excluded.seen_at,
    sha256 = CASE WHEN excluded.sha256 IS NULL AND excluded.etag = media_store.etag
        THEN media_store.sha256 ELSE excluded.sha256 END;
