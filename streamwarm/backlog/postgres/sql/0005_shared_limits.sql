-- Version 5. What processes tell each other of a destination. `mends` counts how often a person said that it may be tried
-- again. `silences` are deadlines of 429s: of one lane, or with the empty name (no lane has it) of the whole destination.

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
