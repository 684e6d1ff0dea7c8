-- Version 9. When a cooldown began, by the clock that its end is told by: if that clock is set back, the cooldown still lasts
-- no longer than it was asked for.

ALTER TABLE silences ADD COLUMN set_at double precision;
