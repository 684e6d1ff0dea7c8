-- How transactions begin and end. The server's clock gives their time.

-- name: begin_write
SELECT last_write, extract(epoch FROM clock_timestamp())::double precision AS now
FROM writers WHERE id = %(writer)s FOR UPDATE;

-- name: add_writer
INSERT INTO writers (id, last_write, seen_at)
VALUES (%(writer)s, '', extract(epoch FROM clock_timestamp())) ON CONFLICT (id) DO NOTHING;

-- name: sign_write
UPDATE writers SET last_write = %(token)s, seen_at = %(now)s WHERE id = %(writer)s;

-- name: drop_old_writers
DELETE FROM writers WHERE seen_at < extract(epoch FROM clock_timestamp()) - %(age_s)s;

-- name: begin_read
SELECT extract(epoch FROM clock_timestamp())::double precision AS now;
