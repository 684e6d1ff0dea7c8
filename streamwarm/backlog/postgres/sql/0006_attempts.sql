-- Version 6. When a job's first attempt failed: passing trouble fails no job within 15 minutes of it.

ALTER TABLE jobs ADD COLUMN first_failed_at double precision;
