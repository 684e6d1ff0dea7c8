-- Version 10. What is known of refusals: which lanes a job does not go to, and which lanes are set aside (`kind` is empty
-- for all kinds). The last attempts at a lane are found by the index; an attempt without a lane is not in it.

ALTER TABLE jobs ADD COLUMN barred text;

CREATE TABLE set_asides (
    destination text NOT NULL,
    lane        text NOT NULL,
    kind        text NOT NULL,
    until       double precision NOT NULL,
    set_at      double precision NOT NULL,
    room        integer,
    reason      text NOT NULL,
    PRIMARY KEY (destination, lane, kind)
);

CREATE INDEX ix_attempts_lane ON attempts (lane, ended_at) WHERE lane IS NOT NULL;
