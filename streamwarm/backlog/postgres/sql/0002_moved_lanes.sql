-- Version 2. Lanes (a bot's warm-up chats, as configured) that have another address now: a group that was upgraded has a
-- new id, and no longer answers under the old one.

CREATE TABLE moved_lanes (
    destination text COLLATE "C" NOT NULL,
    lane        text COLLATE "C" NOT NULL,
    address     text COLLATE "C" NOT NULL,
    PRIMARY KEY (destination, lane)
);
