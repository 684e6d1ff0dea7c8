-- Version 1. Times are Unix seconds, UTC, by the server's clock. Objects of JSON are text. Names are compared byte by
-- byte (COLLATE "C"); what a text column cannot store is escaped (postgres/server.py).

CREATE TABLE jobs (
    seq                bigint PRIMARY KEY,
    id                 text COLLATE "C" NOT NULL UNIQUE,
    destination        text COLLATE "C" NOT NULL,
    kind               text COLLATE "C" NOT NULL,
    r2_key             text COLLATE "C" NOT NULL,
    sha256             text COLLATE "C",
    bytes              bigint,
    options            text NOT NULL,
    media_reference    text COLLATE "C" NOT NULL,
    base_score         integer NOT NULL,
    state              text COLLATE "C" NOT NULL
        CHECK (state IN ('queued', 'running', 'waiting', 'done', 'failed', 'unknown', 'cancelled')),
    attempt            integer NOT NULL CHECK (attempt >= 0),
    created_at         double precision NOT NULL,
    updated_at         double precision NOT NULL,
    queued_at          double precision NOT NULL,
    retry_at           double precision,
    lease_token        text COLLATE "C",
    lease_expires_at   double precision,
    result             text,
    error_code         text COLLATE "C",
    error_message      text,
    error_permanent    boolean,
    possible_duplicate boolean NOT NULL,
    CHECK ((state = 'running') = (lease_token IS NOT NULL AND lease_expires_at IS NOT NULL)),
    CHECK ((state = 'waiting') = (retry_at IS NOT NULL)),
    CHECK (state <> 'done' OR result IS NOT NULL)
)
-- A queue's rows die young, at the front of its indexes: vacuum after 2 % of them, not after the usual 20 %.
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- At most one live job per media key; the states are lifecycle.LIVE.
CREATE UNIQUE INDEX ix_jobs_live ON jobs (destination, kind, media_reference)
    WHERE state IN ('queued', 'running', 'waiting', 'unknown');

-- The order of the queue per destination, and how long the oldest job has waited.
CREATE INDEX ix_jobs_queued ON jobs (destination, base_score, queued_at, seq) WHERE state = 'queued';
-- An expression: as long as the planner has no statistics, it must not take this index for the queue's order.
CREATE INDEX ix_jobs_oldest ON jobs ((queued_at + 0)) WHERE state = 'queued';

-- For the rescuer.
CREATE INDEX ix_jobs_due ON jobs (retry_at, seq) WHERE state = 'waiting';
CREATE INDEX ix_jobs_leased ON jobs (lease_expires_at, seq) WHERE state = 'running';
CREATE INDEX ix_jobs_ended ON jobs (state, updated_at, seq) WHERE state IN ('done', 'failed', 'cancelled');

-- Lists by state and destination; a list by one of the two merges a few ranges.
CREATE INDEX ix_jobs_list ON jobs (destination, state, seq);

-- How many jobs each destination has in each state. Written at the end of a transaction, under the lock of the event
-- counter: hosts that changed the same few rows in different orders would deadlock.
CREATE TABLE job_counts (
    destination text COLLATE "C" NOT NULL,
    state       text COLLATE "C" NOT NULL,
    jobs        bigint NOT NULL,
    PRIMARY KEY (destination, state)
);

-- The highest number assigned. A sequence would not do: a transaction with a lower number may commit after one with a
-- higher number, and a reader that is past it would never see its events. A transaction locks the row until it commits,
-- so numbers become visible in their order.
CREATE TABLE counters (
    name  text COLLATE "C" PRIMARY KEY CHECK (name IN ('jobs', 'events')),
    value bigint NOT NULL
);

INSERT INTO counters VALUES ('jobs', 0), ('events', 0);

CREATE TABLE events (
    seq             bigint PRIMARY KEY,
    job_id          text COLLATE "C" NOT NULL,
    state           text COLLATE "C" NOT NULL,
    at              double precision NOT NULL,
    attempt         integer NOT NULL,
    destination     text COLLATE "C" NOT NULL,
    kind            text COLLATE "C" NOT NULL,
    r2_key          text COLLATE "C" NOT NULL,
    result          text,
    error_code      text COLLATE "C",
    error_message   text,
    error_permanent boolean,
    retry_at        double precision
);

CREATE INDEX ix_events_job ON events (job_id, seq);

-- Warm records. `sha256`, `bytes` and `result` are those of the delivery; `updated_at` of a ready row is when it
-- became warm. An object that a destination fetched by itself has no digest: it was not read here.
CREATE TABLE media_cache (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination     text COLLATE "C" NOT NULL,
    kind            text COLLATE "C" NOT NULL,
    media_reference text COLLATE "C" NOT NULL,
    status          text COLLATE "C" NOT NULL CHECK (status IN ('warming', 'ready', 'error')),
    r2_key          text COLLATE "C" NOT NULL,
    sha256          text COLLATE "C",
    bytes           bigint,
    result          text,
    job_id          text COLLATE "C" NOT NULL,
    updated_at      double precision NOT NULL,
    CHECK (status <> 'ready' OR (bytes IS NOT NULL AND result IS NOT NULL)),
    UNIQUE (destination, kind, media_reference)
);

CREATE INDEX ix_media_cache_lookup ON media_cache (destination, kind, media_reference) WHERE status = 'ready';
CREATE INDEX ix_media_cache_sha256 ON media_cache (destination, kind, sha256, updated_at DESC, id)
    WHERE status = 'ready';
CREATE INDEX ix_media_cache_r2_key ON media_cache (destination, kind, r2_key, updated_at DESC, id)
    WHERE status = 'ready';

CREATE TABLE media_store (
    r2_key       text COLLATE "C" PRIMARY KEY,
    bytes        bigint NOT NULL,
    etag         text,
    content_type text,
    sha256       text COLLATE "C",
    seen_at      double precision NOT NULL
);

-- What users have paused: a destination, or the whole service (the empty name, which no destination has). A row without
-- `until` lasts until it is resumed.
CREATE TABLE pauses (
    destination text COLLATE "C" PRIMARY KEY,
    until       double precision,
    paused_at   double precision NOT NULL
);

-- One row per writer (a process has two): its last transaction. If the answer to a commit is lost, the writer reads here
-- whether it took place.
CREATE TABLE writers (
    id         text COLLATE "C" PRIMARY KEY,
    last_write text COLLATE "C" NOT NULL,
    seen_at    double precision NOT NULL
);

-- One row, rewritten to find out whether the store takes writes.
CREATE TABLE write_probe (
    id         integer PRIMARY KEY CHECK (id = 1),
    written_at double precision NOT NULL
);
