-- Version 2. Lanes (a bot's warm-up chats, as configured) that are reached at another address: a group that was upgraded
-- has a new id, and answers under the old one no more.

CREATE TABLE moved_lanes (
    destination text COLLATE "C" NOT NULL,
    lane        text COLLATE "C" NOT NULL,
    address     text COLLATE "C" NOT NULL,
    PRIMARY KEY (destination, lane)
);
