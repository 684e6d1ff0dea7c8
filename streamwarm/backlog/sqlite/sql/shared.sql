-- What processes share, and the write probe.

-- name: probe
INSERT OR REPLACE INTO write_probe (id, written_at) VALUES (1, :written_at);

-- name: probe_tables
-- Reads no row: it fails if a table is gone.
SELECT 1 FROM jobs, events, attempts, media_cache, media_store, job_counts, record_counts, pauses, moved_lanes, mends, silences, leases, set_asides
WHERE 0;

-- name: put_pause
INSERT OR REPLACE INTO pauses (destination, until, paused_at) VALUES (:destination, :until, :paused_at);

-- name: delete_pause
DELETE FROM pauses WHERE destination = :destination;

-- name: pauses
SELECT destination, until, paused_at FROM pauses ORDER BY destination;

-- name: put_moved_lane
INSERT OR REPLACE INTO moved_lanes (destination, lane, address) VALUES (:destination, :lane, :address);

-- name: moved_lanes
SELECT destination, lane, address FROM moved_lanes ORDER BY destination, lane;

-- name: count_mend
INSERT INTO mends (destination, number) VALUES (:destination, 1)
ON CONFLICT (destination) DO UPDATE SET number = number + 1;

-- name: mends
SELECT destination, number FROM mends ORDER BY destination;

-- name: put_silence
-- If a row was set in the future, the clock was set back since, so the row is replaced.
INSERT INTO silences (destination, lane, until, reason, set_at)
VALUES (:destination, :lane, :until, :reason, :set_at)
ON CONFLICT (destination, lane) DO UPDATE SET
    until = excluded.until, reason = excluded.reason, set_at = excluded.set_at
WHERE excluded.until > silences.until OR silences.set_at > excluded.set_at + 5;

-- name: reset_cooldowns
UPDATE silences SET until = :now + min(max(until - coalesce(set_at, :now), 0), :longest_s), set_at = :now
WHERE until BETWEEN 0 AND :latest
    AND (set_at BETWEEN :ahead_from AND :latest OR until > :now + :longest_s);

-- name: silences
SELECT destination, lane, until, reason, set_at FROM silences ORDER BY destination, lane;

-- name: put_lease
INSERT INTO leases (name, token, expires_at, place) VALUES (:name, :token, :expires_at, :place)
ON CONFLICT (name) DO NOTHING;

-- name: take_lease
UPDATE leases SET token = :token, expires_at = :expires_at
WHERE name = :name AND (token = :token OR expires_at <= :now OR expires_at > :too_far) RETURNING name;

-- name: delete_lease
DELETE FROM leases WHERE name = :name AND token = :token RETURNING name;

-- name: clear_lease
DELETE FROM leases WHERE name = :name;

-- name: lease_of_source
SELECT name, token, expires_at, place FROM leases WHERE name = 'source';

-- name: put_set_aside
INSERT INTO set_asides (destination, lane, kind, until, set_at, room, reason)
VALUES (:destination, :lane, :kind, :until, :set_at, :room, :reason)
ON CONFLICT (destination, lane, kind) DO UPDATE SET
    until = excluded.until, set_at = excluded.set_at, room = excluded.room, reason = excluded.reason;

-- name: delete_set_aside
DELETE FROM set_asides WHERE destination = :destination AND lane = :lane AND kind = :kind;

-- name: delete_set_asides
DELETE FROM set_asides WHERE destination = :destination;

-- name: set_asides
SELECT destination, lane, kind, until, set_at, room, reason FROM set_asides ORDER BY destination, lane, kind;
