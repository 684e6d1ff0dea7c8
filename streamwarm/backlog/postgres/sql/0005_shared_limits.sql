-- Version 5. What processes share about destinations. `mends` counts how often users have resumed one. `silences` has the
-- ends of cooldowns (429s): of one lane, or of the whole destination (the empty name, which no lane has).

CREATE TABLE mends (
    destination text COLLATE "C" PRIMARY KEY,
    number      bigint NOT NULL
);

CREATE TABLE silences (
    destination text COLLATE "C" NOT NULL,
    lane        text COLLATE "C" NOT NULL,
    until       double precision NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (destination, lane)
);
