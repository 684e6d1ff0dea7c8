"""Decides whether the job or the chat is at fault for a refusal in words that no table knows. Pure.

The words do not say, so the attempts do. If other chats take the jobs that a chat refuses, the chat is at fault. If
every chat refuses a job, the job is. The evidence about a lane and a kind is what became of the last such attempts, by
any process (`Seen`). It is read from the store when a lane refuses a job, so it outlives a restart.

The rules, for a lane and a kind:

- A refused job goes to another lane first, and to the same lane at the earliest `SAME_LANE_S` later.
- A lane that refused `LEAST_JOBS` different jobs in a row is set aside: for `FIRST_S`, then twice as long each time, up
  to `LONGEST_S`. Then it is tried with one job, rather one that it has not refused yet.
- A lane that refuses everything must cost little. After `MOST_UPLOADS` refused uploads it is set aside until the first
  of the last `MOST_UPLOADS` is `WINDOW_S` ago.
- If a lane takes a job after it was set aside, some jobs were at fault and not the lane. Within `WINDOW_S` of that,
  only `MOST_UPLOADS` refusals in a row set it aside again: a few bad files in a row delay the good ones once.
- A chat with several topics is judged like one lane, too, once two of them have refused jobs in a row.
- While a lane is set aside, a refusal by it does not count as an attempt of the job. A job whose attempts are used up
  fails only if every lane that could take it has refused it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from streamwarm.model import NOWHERE, Barred

LEAST_JOBS = 3
"""How many different jobs in a row set a lane aside. Fewer would set it aside for two bad files."""

MOST_UPLOADS = 6
"""How many uploads of a kind a lane that takes nothing may cost in `WINDOW_S`."""

FIRST_S, LONGEST_S = 30.0, 3600.0
"""How long a lane is set aside at first, and at most, in seconds. The first is short, because a few bad files may be at
fault: the good ones then wait as long."""

WINDOW_S = 3600.0
"""The time in which uploads are counted, in seconds."""

SAME_LANE_S = 60.0
"""The least time, in seconds, after which a job goes to a lane again that refused it."""

SEEN = 64
"""How many of the last attempts at a lane are read. A streak is decided by the newest `MOST_UPLOADS`; the rest shows
whether the lane took a job within `WINDOW_S` after it was set aside."""


@frozen
class Seen:
    """What became of one attempt at a lane: it `took` the job, or refused it in unknown words. `at` is Unix seconds."""

    job_id: str
    at: float
    took: bool


@frozen
class Refusal:
    """A refusal in unknown words: which job at which lane, at what time (Unix seconds), at which counted attempt.

    `refused_by` are the lanes that have refused this job before, with the time of their last refusal. `usable` are the
    lanes that may take the kind, as far as is known: not those that are set aside for a reason that Telegram named.
    `mates` are the topics of the same chat, this one too, and `chat_is_out`: the chat was set aside as a whole.
    """

    job_id: str
    lane: str
    at: float
    attempt: int
    max_attempts: int
    refused_by: dict[str, float]
    usable: Collection[str]
    mates: frozenset[str] = frozenset()
    chat_is_out: bool = False


@frozen
class Judgement:
    """What follows a refusal in unknown words.

    `fails`: the job fails. Otherwise it is tried again at `retry_at`, where `barred` allows. `counts`: whether the
    refusal counts as an attempt. `lane_out_until`: until when the lane is set aside for the kind; None: it is not.
    `lane_room`: how many jobs of the kind may be under way to it at once, until it takes one.
    """

    fails: bool
    counts: bool
    retry_at: float
    barred: Barred
    lane_out_until: float | None
    lane_room: int


def judge(refusal: Refusal, before: Sequence[Seen], *, backoff_s: float) -> Judgement:
    """Decide what follows a refusal in unknown words.

    `before` is what was seen of the lane with jobs of this kind, oldest first, without this refusal. `backoff_s` is how
    long the job waits for another lane.
    """
    seen = [*before, Seen(refusal.job_id, refusal.at, took=False)]
    counts = out_until(before) is None and not refusal.chat_is_out
    lane_out, room = out_until(seen), room_of(seen)
    refused_by = {**refusal.refused_by, refusal.lane: refusal.at}
    untried = set(refusal.usable) - refused_by.keys()
    used_up = counts and refusal.attempt >= refusal.max_attempts
    if used_up and not untried:
        return Judgement(True, True, refusal.at, NOWHERE, lane_out, room)
    if used_up:
        barred = Barred(frozenset(refused_by), math.inf)
        return Judgement(False, True, refusal.at + backoff_s, barred, lane_out, room)
    again_at = refusal.at + SAME_LANE_S
    # Another topic of the same chat is no other chat: it may be the chat that refuses.
    here = refused_by.keys() | refusal.mates
    retry_at = refusal.at + backoff_s if untried - here else again_at
    return Judgement(False, counts, retry_at, Barred(frozenset(here), again_at), lane_out, room)


@frozen
class ChatJudgement:
    """What a refusal means for a chat with several topics.

    `out_until`: until when all of them are set aside for the kind; None: they are not. `room`: how many jobs may be
    under way to them at once. `was_out`: whether they were set aside before it.
    """

    out_until: float | None
    room: int
    was_out: bool


def judge_chat(lane: str, this: Seen, before: Mapping[str, Sequence[Seen]]) -> ChatJudgement:
    """Decide whether topics are refused because their chat is. `before` is what was seen of each topic, without `this`
    refusal by `lane`.

    The rules are those for one lane, if at least two topics have refused jobs since any of them took one.
    """
    seen = sorted((one for topic in before.values() for one in topic), key=lambda one: one.at)
    took_at = max((one.at for one in seen if one.took), default=-math.inf)
    refusing = {name for name, topic in before.items() if any(one.at > took_at for one in topic)}
    was_out = len(refusing) > 1 and out_until(seen) is not None
    both = [*seen, this]
    until = out_until(both) if len(refusing | {lane}) > 1 else None
    return ChatJudgement(until, room_of(both), was_out)


def out_until(seen: Sequence[Seen]) -> float | None:
    """Return until when a lane is set aside, which may be past; None if it is not. `seen` is oldest first."""
    streak = _streak(seen)
    jobs = len({one.job_id for one in streak})
    until: list[float] = []
    least = MOST_UPLOADS if streak and _was_set_aside_wrongly(seen, since=streak[-1].at - WINDOW_S) else LEAST_JOBS
    if jobs >= least:
        until.append(streak[-1].at + min(LONGEST_S, FIRST_S * 2.0 ** (jobs - least)))
    if len(streak) >= MOST_UPLOADS:
        until.append(streak[-MOST_UPLOADS].at + WINDOW_S)
    return max(until, default=None)


def room_of(seen: Sequence[Seen]) -> int:
    """Return how many jobs may be under way to a lane at once after a refusal.

    One if it was set aside. Otherwise so many that the lane has cost `MOST_UPLOADS` in all if it refuses them too.
    """
    return 1 if out_until(seen) is not None else MOST_UPLOADS - len(_streak(seen))


def _streak(seen: Sequence[Seen]) -> list[Seen]:
    """Return the refusals since the lane last took a job. Those of jobs that it had refused before say nothing new and
    are left out."""
    last = max((number for number, one in enumerate(seen) if one.took), default=-1)
    known = {one.job_id for one in seen[: last + 1] if not one.took}
    return [one for one in seen[last + 1 :] if one.job_id not in known]


def _was_set_aside_wrongly(seen: Sequence[Seen], *, since: float) -> bool:
    """Whether the lane took a job after `since`, right after so many refusals that it had been set aside."""
    refused: set[str] = set()
    for one in seen:
        if not one.took:
            refused.add(one.job_id)
        elif len(refused) >= LEAST_JOBS and one.at > since:
            return True
        else:
            refused.clear()
    return False
