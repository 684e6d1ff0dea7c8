-- Version 4. Lanes (a bot's warm-up chats, as configured) that have another address now: a group that was upgraded has a
-- new id, and no longer answers under the old one.

CREATE TABLE moved_lanes (
    destination TEXT NOT NULL,
    lane        TEXT NOT NULL,
    address     TEXT NOT NULL,
    PRIMARY KEY (destination, lane)
) WITHOUT ROWID;
