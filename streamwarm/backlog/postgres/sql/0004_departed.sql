-- Version 4. Whether the last bytes of the running attempt may have left, where a lost answer is to be held.

ALTER TABLE jobs ADD COLUMN departed boolean NOT NULL DEFAULT false;
