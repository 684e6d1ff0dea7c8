-- The queue is read per destination, so that each gets its share (ordering.py).

DROP INDEX ix_jobs_queued;

CREATE INDEX ix_jobs_queued ON jobs (destination, base_score, queued_at, seq) WHERE state = 'queued';
