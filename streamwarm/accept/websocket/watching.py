"""Which jobs one websocket client watches, and from which event on. Pure.

Events are read in order from one cursor. Each watched job has a mark: the last event of it that the client has got, or
did not ask for. So `watch` with `since` can move the cursor back for the jobs it names, and no other job's event is
sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define, evolve

from streamwarm.model import Event, State


@define(eq=False)
class Watching:
    """`ids`: the marks of the jobs watched by id. `all_after`: the mark of all others, None if they are not watched.

    A changed watch is a new object. A task that reads events for an old one must stop.
    """

    cursor: int
    ids: dict[str, int]
    all_after: int | None = None

    def with_all(self, after: int, *, replay: bool) -> Watching:
        """Also watch every job, from the event after `after`. With `replay`, jobs watched by id start there too."""
        if replay:
            return Watching(min(self.cursor, after), {}, after)
        return evolve(self, all_after=after if self.all_after is None else self.all_after)

    def with_ids(self, ids: Iterable[str], after: int, *, replay: bool) -> Watching:
        """Also watch these jobs. A job that is watched already keeps its mark, unless `replay` moves it back."""
        if replay:
            return evolve(self, cursor=min(self.cursor, after), ids={**self.ids, **dict.fromkeys(ids, after)})
        known: Mapping[str, int] = dict.fromkeys(ids, after) if self.all_after is None else {}
        return evolve(self, ids={**known, **self.ids})

    def includes(self, job_id: str) -> bool:
        return self.all_after is not None or job_id in self.ids

    def advance(self, event: Event) -> bool:
        """Move the cursor past `event`. Returns True if it must be sent. A job watched by id is dropped once done."""
        self.cursor = event.seq
        mark = self.ids.get(event.id, self.all_after)
        if self.all_after is not None:
            self.all_after = max(self.all_after, event.seq)
        if mark is None or event.seq <= mark:
            return False
        if event.id in self.ids:
            self.ids[event.id] = event.seq
            if event.state is State.DONE:
                del self.ids[event.id]
        return True
