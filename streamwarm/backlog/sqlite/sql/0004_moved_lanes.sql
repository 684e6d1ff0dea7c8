-- Version 4. Lanes (a bot's warm-up chats, as configured) that are reached at another address: a group that was upgraded
-- has a new id, and answers under the old one no more.

CREATE TABLE moved_lanes (
    destination TEXT NOT NULL,
    lane        TEXT NOT NULL,
    address     TEXT NOT NULL,
    PRIMARY KEY (destination, lane)
) WITHOUT ROWID;
