-- Version 13. A record belongs to one version of an object and to one account. The table is rebuilt: SQLite cannot change
-- a UNIQUE. A row that has no record (warming, error) is named after its media key, in `version`. `updated_at` of a
-- record is when it became warm.

CREATE TABLE media_cache_anew (
    id           INTEGER PRIMARY KEY,
    destination  TEXT NOT NULL,
    account      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    r2_key       TEXT NOT NULL,
    version      TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('warming', 'ready', 'error')),
    superseded   INTEGER NOT NULL DEFAULT 0,
    source_state TEXT NOT NULL DEFAULT 'current',
    sha256       TEXT,
    source_etag  TEXT,
    bytes        INTEGER,
    result       TEXT,
    options      TEXT,
    warnings     TEXT,
    job_id       TEXT NOT NULL,
    opened_at    REAL,
    checked_at   REAL,
    suspect_at   REAL,
    reported_at  REAL,
    updated_at   REAL NOT NULL,
    CHECK (status <> 'ready' OR (bytes IS NOT NULL AND result IS NOT NULL)),
    UNIQUE (destination, account, kind, r2_key, version)
);

-- Of each version the row that became warm last. An ETag is taken from media_store only if that saw the very object: at
-- the same time, or with the same digest. A video over 10 MB for which its job named no size has none at Telegram.
INSERT OR IGNORE INTO media_cache_anew (
    id, destination, account, kind, r2_key, version, status, superseded, sha256, source_etag, bytes, result, options,
    warnings, job_id, opened_at, checked_at, updated_at
)
WITH seen AS (
    SELECT r2_key, sha256, seen_at,
        trim(CASE WHEN etag LIKE 'W/%' THEN substr(etag, 3) ELSE etag END, '"') AS etag
    FROM media_store WHERE typeof(etag) = 'text'
), records AS (
    SELECT warm.*, seen.etag AS seen_etag,
        CASE WHEN typeof(warm.result) = 'text' AND json_valid(warm.result)
            THEN CASE json_type(warm.result) WHEN 'object' THEN warm.result END END AS answer,
        CASE WHEN typeof(jobs.options) = 'text' AND json_valid(jobs.options)
            THEN CASE json_type(jobs.options) WHEN 'object' THEN jobs.options ELSE '{}' END ELSE '{}' END AS job_options,
        row_number() OVER (
            PARTITION BY warm.destination, warm.kind, warm.r2_key ORDER BY warm.updated_at DESC, warm.id
        ) AS place
    FROM media_cache AS warm
    LEFT JOIN seen ON seen.r2_key = warm.r2_key
        AND (seen.seen_at = warm.updated_at OR seen.sha256 = warm.sha256)
    LEFT JOIN jobs ON jobs.id = warm.job_id
    WHERE warm.status = 'ready'
), judged AS (
    SELECT *, kind IN ('video', 'animation') AND bytes > 10000000 AND json_extract(answer, '$.file_id') IS NOT NULL
        AND (json_extract(job_options, '$.width') IS NULL OR json_extract(job_options, '$.height') IS NULL) AS is_flat
    FROM records
)
SELECT id, destination, '', kind, r2_key,
    CASE WHEN sha256 IS NOT NULL THEN 'sha256:' || sha256 WHEN seen_etag IS NOT NULL THEN 'etag:' || seen_etag ELSE '' END,
    'ready', place > 1, sha256, seen_etag, bytes,
    CASE WHEN is_flat THEN json_set(answer, '$.warnings', json_array('no_dimensions')) ELSE result END,
    job_options, CASE WHEN is_flat THEN 'no_dimensions' END,
    job_id, updated_at, CASE WHEN seen_etag IS NOT NULL THEN updated_at END, updated_at
FROM judged ORDER BY place;

INSERT OR IGNORE INTO media_cache_anew (destination, account, kind, r2_key, version, status, job_id, updated_at)
SELECT destination, '', kind, r2_key, 'job:' || media_reference, status, job_id, updated_at
FROM media_cache WHERE status <> 'ready';

DROP TABLE media_cache;

ALTER TABLE media_cache_anew RENAME TO media_cache;

-- One index read answers by key, and the same index has the order of pages; one answers by digest.
CREATE INDEX ix_media_cache_lookup ON media_cache (r2_key, destination, kind, account)
    WHERE status = 'ready' AND superseded = 0;
CREATE INDEX ix_media_cache_sha256 ON media_cache (destination, account, kind, sha256, opened_at DESC, r2_key)
    WHERE sha256 IS NOT NULL;

CREATE INDEX ix_media_cache_state ON media_cache (source_state, r2_key, destination, kind, account)
    WHERE status = 'ready' AND superseded = 0 AND source_state <> 'current';
CREATE INDEX ix_media_cache_warnings ON media_cache (r2_key, destination, kind, account)
    WHERE status = 'ready' AND superseded = 0 AND warnings IS NOT NULL;
CREATE INDEX ix_media_cache_reported ON media_cache (destination, account, reported_at)
    WHERE reported_at IS NOT NULL;

-- How many records answer by key. Triggers keep it, so that nothing counts the table.
CREATE TABLE record_counts (
    destination  TEXT NOT NULL,
    source_state TEXT NOT NULL,
    records      INTEGER NOT NULL,
    PRIMARY KEY (destination, source_state)
) WITHOUT ROWID;

INSERT INTO record_counts
SELECT destination, source_state, count(*) FROM media_cache WHERE status = 'ready' AND superseded = 0
GROUP BY destination, source_state;

CREATE TRIGGER records_inserted AFTER INSERT ON media_cache WHEN new.status = 'ready' AND new.superseded = 0 BEGIN
    INSERT INTO record_counts VALUES (new.destination, new.source_state, 1)
        ON CONFLICT (destination, source_state) DO UPDATE SET records = records + 1;
END;

CREATE TRIGGER records_left AFTER UPDATE ON media_cache
WHEN old.status = 'ready' AND old.superseded = 0
    AND (new.status <> 'ready' OR new.superseded <> 0 OR new.source_state <> old.source_state)
BEGIN
    UPDATE record_counts SET records = records - 1
    WHERE destination = old.destination AND source_state = old.source_state;
END;

CREATE TRIGGER records_entered AFTER UPDATE ON media_cache
WHEN new.status = 'ready' AND new.superseded = 0
    AND (old.status <> 'ready' OR old.superseded <> 0 OR new.source_state <> old.source_state)
BEGIN
    INSERT INTO record_counts VALUES (new.destination, new.source_state, 1)
        ON CONFLICT (destination, source_state) DO UPDATE SET records = records + 1;
END;

CREATE TRIGGER records_deleted AFTER DELETE ON media_cache WHEN old.status = 'ready' AND old.superseded = 0 BEGIN
    UPDATE record_counts SET records = records - 1
    WHERE destination = old.destination AND source_state = old.source_state;
END;

-- A queued job that waits for a comparison of its object is in none of the queue's indexes.
ALTER TABLE jobs ADD COLUMN to_check INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN joined_at REAL;
ALTER TABLE jobs ADD COLUMN joined_etag TEXT;

DROP INDEX ix_jobs_queued;
DROP INDEX ix_jobs_oldest;
CREATE INDEX ix_jobs_queued ON jobs (destination, base_score, queued_at, seq) WHERE state = 'queued' AND to_check = 0;
CREATE INDEX ix_jobs_oldest ON jobs (queued_at, seq) WHERE state = 'queued' AND to_check = 0;
CREATE INDEX ix_jobs_to_check ON jobs (queued_at, seq) WHERE to_check = 1;
CREATE INDEX ix_jobs_to_check_key ON jobs (r2_key, queued_at, seq) WHERE to_check = 1;

-- ETags are kept unquoted from now on, here too: put_seen compares them.
UPDATE media_store SET etag = trim(CASE WHEN etag LIKE 'W/%' THEN substr(etag, 3) ELSE etag END, '"')
WHERE typeof(etag) = 'text';
