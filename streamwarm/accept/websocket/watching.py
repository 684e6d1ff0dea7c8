"""Which jobs one websocket client watches, and from which event on. Pure.

Events are read in order from one cursor. Each watched job has a mark: the last event of it that the client has got, or
did not ask for. So `watch` with `since` can move the cursor back for the jobs it names, and no other job's event is
sent twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice

from attrs import define, evolve, field, frozen

from streamwarm.model import Event, State

_EVENTS_PER_JOB = 20
"""A replay reads the jobs' own events if there are more than so many events per job. Otherwise it reads all events,
because most of them are probably theirs."""


def has_ended(state: State | None) -> bool:
    """Whether a job in this state has ended: only a user can start it again. None: the job does not exist."""
    return state not in {State.QUEUED, State.RUNNING, State.WAITING}


@frozen
class Replay:
    """The cursor was moved back for the jobs in `ids`: up to the event `until`, only theirs can be unsent."""

    ids: frozenset[str]
    until: int

    def is_worth_an_index(self, cursor: int) -> bool:
        """Whether to read the events of `ids` one job after the other, instead of all events after `cursor`."""
        return self.until - cursor > _EVENTS_PER_JOB * len(self.ids)


@define(eq=False)
class Watching:
    """`ids`: the marks of the jobs watched by id. `all_after`: the mark of all others, None if they are not watched.
    `ended`: those of `ids` that have ended, longest ago first, each with the event up to which the cursor must have
    come before the job may be dropped.

    A changed watch is a new object. A task that reads events for an old one must stop.
    """

    cursor: int
    ids: dict[str, int]
    all_after: int | None = None
    replay: Replay | None = None
    ended: dict[str, int] = field(factory=dict)

    def with_all(self, after: int, *, replay: bool) -> Watching:
        """Also watch every job, from the event after `after`. With `replay`, jobs watched by id start there too."""
        if replay:
            return Watching(min(self.cursor, after), {}, after)
        return evolve(self, all_after=after if self.all_after is None else self.all_after)

    def with_ids(self, ids: Collection[str], after: int, *, replay: bool) -> Watching:
        """Also watch these jobs. A job that is watched already keeps its mark, unless `replay` moves it back."""
        if replay:
            marks = {**self.ids, **dict.fromkeys(ids, after)}
            cursor = min(self.cursor, after)
            return evolve(self, cursor=cursor, ids=marks, replay=self._replay_from(cursor, ids))
        known: Mapping[str, int] = dict.fromkeys(ids, after) if self.all_after is None else {}
        return evolve(self, ids={**known, **self.ids})

    def includes(self, job_id: str) -> bool:
        return self.all_after is not None or job_id in self.ids

    def advance(self, event: Event) -> bool:
        """Move the cursor past `event`. Returns True if it must be sent.

        A job watched by id is dropped once done. If it ended otherwise, a user may retry it, so it stays as long as
        there is room.
        """
        self.cursor = event.seq
        mark = self.ids.get(event.id, self.all_after)
        if self.all_after is not None:
            self.all_after = max(self.all_after, event.seq)
        if mark is None or event.seq <= mark:
            return False
        if event.id in self.ids:
            self.ids[event.id] = event.seq
            self._note_state(event)
        return True

    def note_ended(self, job_ids: Iterable[str], last_seq: int) -> None:
        """Note jobs that were found ended, or missing, when `last_seq` was the newest event.

        No later event of them may come, and without this note they would stay on the list for ever.
        """
        self.ended |= {job_id: last_seq for job_id in job_ids if job_id in self.ids}

    def make_room(self, more: int, at_most: int) -> bool:
        """Drop ended jobs, longest ended first, until `more` fit. Returns False if the others leave too little room."""
        excess = len(self.ids) + more - at_most
        if excess > 0:
            droppable = (job_id for job_id, seq in self.ended.items() if seq <= self.cursor)
            for job_id in list(islice(droppable, excess)):
                self._drop(job_id)
        return len(self.ids) + more <= at_most

    def finish_replay(self) -> None:
        """Move the cursor to where the other jobs are: all events of the replayed jobs have been read."""
        if self.replay is not None:
            self.cursor = max(self.cursor, self.replay.until)
            self.replay = None

    def _replay_from(self, cursor: int, ids: Iterable[str]) -> Replay | None:
        if self.replay is not None and self.cursor < self.replay.until:
            return Replay(self.replay.ids.union(ids), self.replay.until)
        return Replay(frozenset(ids), self.cursor) if cursor < self.cursor else None

    def _note_state(self, event: Event) -> None:
        if event.state is State.DONE:
            self._drop(event.id)
        elif has_ended(event.state):
            self.ended[event.id] = event.seq
        else:
            self.ended.pop(event.id, None)

    def _drop(self, job_id: str) -> None:
        del self.ids[job_id]
        self.ended.pop(job_id, None)
