-- Version 9. Rights that one process holds at a time. The row `source` exists while the bucket is paused: its holder
-- probes the bucket, and `place` has the reason.

CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    token      TEXT NOT NULL,
    expires_at REAL NOT NULL,
    place      TEXT NOT NULL
) WITHOUT ROWID;
