-- All rows of a table, page by page: each is read once, to find those that cannot be read.

-- name: survey_jobs
SELECT * FROM jobs WHERE seq > :seq ORDER BY seq LIMIT :limit;

-- name: survey_events
SELECT * FROM events WHERE seq > :seq ORDER BY seq LIMIT :limit;

-- name: survey_media
SELECT * FROM media_cache WHERE id > :id ORDER BY id LIMIT :limit;

-- name: survey_attempts
SELECT * FROM attempts WHERE (job_id, number) > (:job_id, :number)
ORDER BY job_id, number LIMIT :limit;
