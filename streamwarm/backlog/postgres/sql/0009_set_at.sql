-- Version 9. `set_at` is when a cooldown began, by the same clock as its end. If that clock is set back, the cooldown
-- begins anew, so it lasts at most twice as long.

ALTER TABLE silences ADD COLUMN set_at double precision;
