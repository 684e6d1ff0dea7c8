-- What processes share, and the write probe.

-- name: probe
INSERT INTO write_probe (id, written_at) VALUES (1, %(written_at)s)
ON CONFLICT (id) DO UPDATE SET written_at = excluded.written_at;

-- name: probe_tables
-- Reads no row: it fails if a table is gone.
SELECT 1 FROM jobs, events, attempts, media_cache, media_store, job_counts, record_counts, pauses, moved_lanes, mends, silences, leases, set_asides, counters, processes, writers
WHERE false;

-- name: put_pause
INSERT INTO pauses (destination, until, paused_at) VALUES (%(destination)s, %(until)s, %(paused_at)s)
ON CONFLICT (destination) DO UPDATE SET until = excluded.until, paused_at = excluded.paused_at;

-- name: delete_pause
DELETE FROM pauses WHERE destination = %(destination)s;

-- name: pauses
SELECT destination, until, paused_at FROM pauses ORDER BY destination;

-- name: put_moved_lane
INSERT INTO moved_lanes (destination, lane, address) VALUES (%(destination)s, %(lane)s, %(address)s)
ON CONFLICT (destination, lane) DO UPDATE SET address = excluded.address;

-- name: moved_lanes
SELECT destination, lane, address FROM moved_lanes ORDER BY destination, lane;

-- name: count_mend
INSERT INTO mends (destination, number) VALUES (%(destination)s, 1)
ON CONFLICT (destination) DO UPDATE SET number = mends.number + 1;

-- name: mends
SELECT destination, number FROM mends ORDER BY destination;

-- name: put_silence
-- If a row was set in the future, the clock was set back since, so the row is replaced.
INSERT INTO silences (destination, lane, until, reason, set_at)
VALUES (%(destination)s, %(lane)s, %(until)s, %(reason)s, %(set_at)s)
ON CONFLICT (destination, lane) DO UPDATE SET
    until = excluded.until, reason = excluded.reason, set_at = excluded.set_at
WHERE excluded.until > silences.until OR silences.set_at > excluded.set_at + 5;

-- name: reset_cooldowns
UPDATE silences SET
    until = %(now)s + least(greatest(until - coalesce(set_at, %(now)s), 0), %(longest_s)s), set_at = %(now)s
WHERE until BETWEEN 0 AND %(latest)s
    AND (set_at BETWEEN %(ahead_from)s AND %(latest)s OR until > %(now)s + %(longest_s)s);

-- name: silences
SELECT destination, lane, until, reason, set_at FROM silences ORDER BY destination, lane;

-- name: put_process
INSERT INTO processes (id, seen_at) VALUES (%(id)s, %(seen_at)s)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at;

-- name: delete_process
DELETE FROM processes WHERE id = %(id)s;

-- name: delete_processes
-- If a process was seen in the future, the clock was set back since. If it is alive, it reports again within 2 s.
DELETE FROM processes WHERE seen_at < %(seen_before)s OR seen_at > %(seen_after)s;

-- name: count_processes
SELECT count(*) AS processes FROM processes;

-- name: put_lease
INSERT INTO leases (name, token, expires_at, place) VALUES (%(name)s, %(token)s, %(expires_at)s, %(place)s)
ON CONFLICT (name) DO NOTHING;

-- name: take_lease
UPDATE leases SET token = %(token)s, expires_at = %(expires_at)s
WHERE name = %(name)s AND (token = %(token)s OR expires_at <= %(now)s OR expires_at > %(too_far)s) RETURNING name;

-- name: delete_lease
DELETE FROM leases WHERE name = %(name)s AND token = %(token)s RETURNING name;

-- name: clear_lease
DELETE FROM leases WHERE name = %(name)s;

-- name: lease_of_source
SELECT name, token, expires_at, place FROM leases WHERE name = 'source';

-- name: put_set_aside
INSERT INTO set_asides (destination, lane, kind, until, set_at, room, reason)
VALUES (%(destination)s, %(lane)s, %(kind)s, %(until)s, %(set_at)s, %(room)s, %(reason)s)
ON CONFLICT (destination, lane, kind) DO UPDATE SET
    until = excluded.until, set_at = excluded.set_at, room = excluded.room, reason = excluded.reason;

-- name: delete_set_aside
DELETE FROM set_asides WHERE destination = %(destination)s AND lane = %(lane)s AND kind = %(kind)s;

-- name: delete_set_asides
DELETE FROM set_asides WHERE destination = %(destination)s;

-- name: set_asides
SELECT destination, lane, kind, until, set_at, room, reason FROM set_asides ORDER BY destination, lane, kind;
