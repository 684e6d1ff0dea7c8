-- Version 11. A record belongs to one version of an object and to one account. The table is written anew, in the order of
-- what became warm last. A row that has no record (warming, error) is named after its media key, in `version`.
-- `updated_at` of a record is when it became warm.

SET LOCAL enable_sort = on;
SET LOCAL enable_seqscan = on;
SET LOCAL enable_hashjoin = on;

-- Text that is no JSON object is NULL here: one damaged row must not fail the migration.
CREATE FUNCTION object_or_null(written text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN jsonb_typeof(written::jsonb) = 'object' THEN written::jsonb END;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE TABLE media_cache_anew (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination  text COLLATE "C" NOT NULL,
    account      text COLLATE "C" NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    r2_key       text COLLATE "C" NOT NULL,
    version      text COLLATE "C" NOT NULL,
    status       text COLLATE "C" NOT NULL CHECK (status IN ('warming', 'ready', 'error')),
    superseded   boolean NOT NULL DEFAULT false,
    source_state text COLLATE "C" NOT NULL DEFAULT 'current',
    sha256       text COLLATE "C",
    source_etag  text COLLATE "C",
    bytes        bigint,
    result       text,
    options      text,
    warnings     text COLLATE "C",
    job_id       text COLLATE "C" NOT NULL,
    opened_at    double precision,
    checked_at   double precision,
    suspect_at   double precision,
    reported_at  double precision,
    updated_at   double precision NOT NULL,
    CHECK (status <> 'ready' OR (bytes IS NOT NULL AND result IS NOT NULL)),
    UNIQUE (destination, account, kind, r2_key, version)
)
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Of each version the row that became warm last. An ETag is taken from media_store only if that saw the very object: at
-- the same time, or with the same digest. A video over 10 MB for which its job named no size has none at Telegram.
INSERT INTO media_cache_anew (
    destination, account, kind, r2_key, version, status, superseded, sha256, source_etag, bytes, result, options,
    warnings, job_id, opened_at, checked_at, updated_at
)
WITH seen AS (
    SELECT r2_key, sha256, seen_at,
        btrim(CASE WHEN etag LIKE 'W/%' THEN substr(etag, 3) ELSE etag END, '"') AS etag
    FROM media_store WHERE etag IS NOT NULL
), records AS (
    SELECT warm.*, seen.etag AS seen_etag, object_or_null(warm.result) AS answer,
        coalesce(object_or_null(jobs.options), '{}') AS job_options, jobs.options AS written_options,
        row_number() OVER (
            PARTITION BY warm.destination, warm.kind, warm.r2_key ORDER BY warm.updated_at DESC, warm.id
        ) AS place
    FROM media_cache AS warm
    LEFT JOIN seen ON seen.r2_key = warm.r2_key
        AND (seen.seen_at = warm.updated_at OR seen.sha256 = warm.sha256)
    LEFT JOIN jobs ON jobs.id = warm.job_id
    WHERE warm.status = 'ready'
), judged AS (
    SELECT *,
        kind IN ('video', 'animation') AND bytes > 10000000 AND coalesce(answer -> 'file_id' <> 'null', false)
            AND (coalesce(job_options -> 'width', 'null') = 'null' OR coalesce(job_options -> 'height', 'null') = 'null')
            AS is_flat
    FROM records
)
SELECT destination, '', kind, r2_key,
    CASE WHEN sha256 IS NOT NULL THEN 'sha256:' || sha256 WHEN seen_etag IS NOT NULL THEN 'etag:' || seen_etag ELSE '' END,
    'ready', place > 1, sha256, seen_etag, bytes,
    CASE WHEN is_flat THEN (answer || '{"warnings": ["no_dimensions"]}')::text ELSE result END,
    CASE WHEN job_options = '{}' THEN '{}' ELSE written_options END,
    CASE WHEN is_flat THEN 'no_dimensions' END,
    job_id, updated_at, CASE WHEN seen_etag IS NOT NULL THEN updated_at END, updated_at
FROM judged ORDER BY place
ON CONFLICT DO NOTHING;

INSERT INTO media_cache_anew (destination, account, kind, r2_key, version, status, job_id, updated_at)
SELECT destination, '', kind, r2_key, 'job:' || media_reference, status, job_id, updated_at
FROM media_cache WHERE status <> 'ready'
ON CONFLICT DO NOTHING;

DROP FUNCTION object_or_null(text);

DROP TABLE media_cache;

ALTER TABLE media_cache_anew RENAME TO media_cache;

-- One index read answers by key, and the same index has the order of pages; one answers by digest.
CREATE INDEX ix_media_cache_lookup ON media_cache (r2_key, destination, kind, account)
    WHERE status = 'ready' AND NOT superseded;
CREATE INDEX ix_media_cache_sha256 ON media_cache (destination, account, kind, sha256, opened_at DESC, r2_key)
    WHERE sha256 IS NOT NULL;

CREATE INDEX ix_media_cache_state ON media_cache (source_state, r2_key, destination, kind, account)
    WHERE status = 'ready' AND NOT superseded AND source_state <> 'current';
CREATE INDEX ix_media_cache_warnings ON media_cache (r2_key, destination, kind, account)
    WHERE status = 'ready' AND NOT superseded AND warnings IS NOT NULL;
CREATE INDEX ix_media_cache_reported ON media_cache (destination, account, reported_at)
    WHERE reported_at IS NOT NULL;

-- How many records answer by key. Written at the end of a transaction, under the lock of the event counter, as
-- `job_counts` is.
CREATE TABLE record_counts (
    destination  text COLLATE "C" NOT NULL,
    source_state text COLLATE "C" NOT NULL,
    records      bigint NOT NULL,
    PRIMARY KEY (destination, source_state)
);

INSERT INTO record_counts
SELECT destination, source_state, count(*) FROM media_cache WHERE status = 'ready' AND NOT superseded
GROUP BY destination, source_state;

-- A queued job that waits for a comparison of its object is in none of the queue's indexes.
ALTER TABLE jobs
    ADD COLUMN to_check boolean NOT NULL DEFAULT false,
    ADD COLUMN joined_at double precision,
    ADD COLUMN joined_etag text COLLATE "C";

DROP INDEX ix_jobs_queued;
DROP INDEX ix_jobs_oldest;
CREATE INDEX ix_jobs_queued ON jobs (destination, base_score, queued_at, seq) WHERE state = 'queued' AND NOT to_check;
CREATE INDEX ix_jobs_oldest ON jobs ((queued_at + 0)) WHERE state = 'queued' AND NOT to_check;
CREATE INDEX ix_jobs_to_check ON jobs (queued_at, seq) WHERE to_check;
CREATE INDEX ix_jobs_to_check_key ON jobs (r2_key, queued_at, seq) WHERE to_check;


-- ETags are kept unquoted from now on, here too: put_seen compares them.
UPDATE media_store SET etag = btrim(regexp_replace(etag, '^W/', ''), '"') WHERE etag IS NOT NULL;
