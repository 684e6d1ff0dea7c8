-- Version 1. Times are Unix seconds, UTC. Objects of JSON are text.

CREATE TABLE jobs (
    seq                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT NOT NULL UNIQUE,
    destination        TEXT NOT NULL,
    kind               TEXT NOT NULL,
    r2_key             TEXT NOT NULL,
    sha256             TEXT,
    bytes              INTEGER,
    options            TEXT NOT NULL,
    media_reference    TEXT NOT NULL,
    base_score         INTEGER NOT NULL,
    state              TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'waiting', 'done', 'failed', 'unknown', 'cancelled')),
    attempt            INTEGER NOT NULL CHECK (attempt >= 0),
    created_at         REAL NOT NULL,
    updated_at         REAL NOT NULL,
    queued_at          REAL NOT NULL,
    retry_at           REAL,
    lease_token        TEXT,
    lease_expires_at   REAL,
    result             TEXT,
    error_code         TEXT,
    error_message      TEXT,
    error_permanent    INTEGER,
    possible_duplicate INTEGER NOT NULL,
    CHECK ((state = 'running') = (lease_token IS NOT NULL AND lease_expires_at IS NOT NULL)),
    CHECK ((state = 'waiting') = (retry_at IS NOT NULL)),
    CHECK (state <> 'done' OR result IS NOT NULL)
);

-- At most one live job per media key; the states are lifecycle.LIVE.
CREATE UNIQUE INDEX ix_jobs_live ON jobs (destination, kind, media_reference)
    WHERE state IN ('queued', 'running', 'waiting', 'unknown');

-- The order of the queue, and jobs that waited too long, which go first.
CREATE INDEX ix_jobs_queued ON jobs (base_score, queued_at, seq) WHERE state = 'queued';
CREATE INDEX ix_jobs_oldest ON jobs (queued_at, seq) WHERE state = 'queued';

-- For the rescuer.
CREATE INDEX ix_jobs_due ON jobs (retry_at, seq) WHERE state = 'waiting';
CREATE INDEX ix_jobs_leased ON jobs (lease_expires_at, seq) WHERE state = 'running';
CREATE INDEX ix_jobs_ended ON jobs (state, updated_at, seq) WHERE state IN ('done', 'failed', 'cancelled');

-- Lists by state and destination; a list by one of the two merges a few ranges.
CREATE INDEX ix_jobs_list ON jobs (destination, state, seq);

-- How many jobs each destination has in each state. Triggers keep it, so that no push counts the table.
CREATE TABLE job_counts (
    destination TEXT NOT NULL,
    state       TEXT NOT NULL,
    jobs        INTEGER NOT NULL CHECK (jobs >= 0),
    PRIMARY KEY (destination, state)
) WITHOUT ROWID;

CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    INSERT INTO job_counts VALUES (new.destination, new.state, 1)
        ON CONFLICT (destination, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE job_counts SET jobs = jobs - 1 WHERE destination = old.destination AND state = old.state;
    INSERT INTO job_counts VALUES (new.destination, new.state, 1)
        ON CONFLICT (destination, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET jobs = jobs - 1 WHERE destination = old.destination AND state = old.state;
END;

CREATE TABLE events (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id          TEXT NOT NULL,
    state           TEXT NOT NULL,
    at              REAL NOT NULL,
    attempt         INTEGER NOT NULL,
    destination     TEXT NOT NULL,
    kind            TEXT NOT NULL,
    r2_key          TEXT NOT NULL,
    result          TEXT,
    error_code      TEXT,
    error_message   TEXT,
    error_permanent INTEGER,
    retry_at        REAL
);

CREATE INDEX ix_events_job ON events (job_id, seq);

-- Warm records. `sha256`, `bytes` and `result` are those of the delivery; `updated_at` of a ready row is when it
-- became warm.
CREATE TABLE media_cache (
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
    CHECK (status <> 'ready' OR (sha256 IS NOT NULL AND bytes IS NOT NULL AND result IS NOT NULL)),
    UNIQUE (destination, kind, media_reference)
);

CREATE INDEX ix_media_cache_lookup ON media_cache (destination, kind, media_reference) WHERE status = 'ready';
CREATE INDEX ix_media_cache_sha256 ON media_cache (destination, kind, sha256, updated_at DESC) WHERE status = 'ready';
CREATE INDEX ix_media_cache_r2_key ON media_cache (destination, kind, r2_key, updated_at DESC) WHERE status = 'ready';

CREATE TABLE media_store (
    r2_key       TEXT PRIMARY KEY,
    bytes        INTEGER NOT NULL,
    etag         TEXT,
    content_type TEXT,
    sha256       TEXT,
    seen_at      REAL NOT NULL
) WITHOUT ROWID;

-- One row, rewritten to find out whether the store takes writes.
CREATE TABLE write_probe (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    written_at REAL NOT NULL
);
