-- Version 7. Rights that one process holds at a time. The row `source` exists while the bucket is paused: its holder
-- probes the bucket, and `place` has the reason.

CREATE TABLE leases (
    name       text COLLATE "C" PRIMARY KEY,
    token      text NOT NULL,
    expires_at double precision NOT NULL,
    place      text NOT NULL
);
