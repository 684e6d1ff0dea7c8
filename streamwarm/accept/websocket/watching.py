"""What one websocket client follows: which jobs, and for each from which event on. Pure.

The events are read in order from one cursor, and a job's own mark says which of them its client has had, or did not ask
for. So a `watch` with a `since` moves the cursor back for the jobs that it names, and no other is told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define, evolve

from streamwarm.model import Event, State


@define(eq=False)
class Watching:
    """`ids` are the marks of the jobs followed by name, `all_after` that of every other one (None: they are not).

    Whoever reads events for it must stop using an object once another has taken its place.
    """

    cursor: int
    ids: dict[str, int]
    all_after: int | None = None

    def with_all(self, after: int, *, replay: bool) -> Watching:
        """Every job, from after that event on; with `replay` also those that are followed by name."""
        if replay:
            return Watching(min(self.cursor, after), {}, after)
        return evolve(self, all_after=after if self.all_after is None else self.all_after)

    def with_ids(self, ids: Iterable[str], after: int, *, replay: bool) -> Watching:
        """These jobs too. One that is followed already goes on where it is, unless `replay` sends it back."""
        if replay:
            return evolve(self, cursor=min(self.cursor, after), ids={**self.ids, **dict.fromkeys(ids, after)})
        known: Mapping[str, int] = dict.fromkeys(ids, after) if self.all_after is None else {}
        return evolve(self, ids={**known, **self.ids})

    def includes(self, job_id: str) -> bool:
        return self.all_after is not None or job_id in self.ids

    def pass_by(self, event: Event) -> bool:
        """Move past the event; whether it is to be told. A job followed by name is followed until it is done."""
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
