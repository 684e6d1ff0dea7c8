-- An object that a destination fetched by itself has no digest: it was not read here. To change a CHECK in SQLite, the
-- table has to be rebuilt.

CREATE TABLE media_cache_anew (
    id              INTEGER PRIMARY KEY,
    destination     TEXT NOT NULL,
    kind            TEXT NOT NULL,
    media_reference TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('warming', 'ready', 'error')),
    r2_key          TEXT NOT NULL,
    sha256          TEXT,
    bytes           INTEGER,
    result          TEXT,
    job_id          TEXT NOT NULL,
    updated_at      REAL NOT NULL,
    CHECK (status <> 'ready' OR (bytes IS NOT NULL AND result IS NOT NULL)),
    UNIQUE (destination, kind, media_reference)
);

INSERT INTO media_cache_anew
SELECT id, destination, kind, media_reference, status, r2_key, sha256, bytes, result, job_id, updated_at
FROM media_cache;

DROP TABLE media_cache;

ALTER TABLE media_cache_anew RENAME TO media_cache;

CREATE INDEX ix_media_cache_lookup ON media_cache (destination, kind, media_reference) WHERE status = 'ready';
CREATE INDEX ix_media_cache_sha256 ON media_cache (destination, kind, sha256, updated_at DESC) WHERE status = 'ready';
CREATE INDEX ix_media_cache_r2_key ON media_cache (destination, kind, r2_key, updated_at DESC) WHERE status = 'ready';
