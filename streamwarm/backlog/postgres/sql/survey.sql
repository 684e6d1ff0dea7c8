-- All rows of a table, page by page: each is read once, to find those that cannot be read.

-- name: survey_jobs
SELECT * FROM jobs WHERE seq > %(seq)s ORDER BY seq LIMIT %(limit)s;

-- name: survey_events
SELECT * FROM events WHERE seq > %(seq)s ORDER BY seq LIMIT %(limit)s;

-- name: survey_media
SELECT * FROM media_cache WHERE id > %(id)s ORDER BY id LIMIT %(limit)s;

-- name: survey_attempts
SELECT * FROM attempts WHERE (job_id, number) > (%(job_id)s, %(number)s)
ORDER BY job_id, number LIMIT %(limit)s;
