-- Version 6. Whether the last bytes of the running attempt may have left, if the policy for a lost answer is `hold`.

ALTER TABLE jobs ADD COLUMN departed INTEGER NOT NULL DEFAULT 0;
