-- Version 3. The processes that share this database, each with the time it last reported.

CREATE TABLE processes (
    id      text COLLATE "C" PRIMARY KEY,
    seen_at double precision NOT NULL
);
