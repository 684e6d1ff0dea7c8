"""Follows pushed jobs to their end, from the service's events and progress. Does no I/O except through the display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from attrs import define, field

ENDED = frozenset({"done", "failed", "unknown", "cancelled"})


class Display(Protocol):
    """Shows the progress of a push to the user. Implementations: `display.py`."""

    def added(self, count: int) -> None: ...

    def started(self, job: Mapping[str, Any]) -> None: ...

    def progressed(self, job_id: str, bytes_out: int, total: int | None) -> None: ...

    def retrying(self, job: Mapping[str, Any]) -> None: ...

    def ended(self, job: Mapping[str, Any]) -> None: ...


@define
class Following:
    """The jobs of one push: which are still open, and how many ended well (`ok`) or not (`failed`).

    Several jobs of a push share an id if they name the same media. They end together.
    """

    display: Display
    _open: dict[str, list[dict[str, Any]]] = field(factory=dict)
    # The last events of jobs that are not known yet: a fast job's event may be read before the reply that names it.
    _early: dict[str, tuple[str, Mapping[str, Any]]] = field(factory=dict)
    # Jobs that the service did not take yet, and that will be pushed again.
    _not_taken: Sequence[Mapping[str, Any]] = ()
    # Destination and kind of accepted jobs that are not followed and had not ended by then.
    left: set[tuple[str, str]] = field(factory=set)
    ok: int = 0
    failed: int = 0

    @property
    def open_count(self) -> int:
        return sum(map(len, self._open.values()))

    @property
    def wanted(self) -> set[tuple[str, str]]:
        """Destination and kind of each job that is open, that is left to the service, or that it did not take yet."""
        jobs = (*chain.from_iterable(self._open.values()), *self._not_taken)
        return self.left | set(map(_destination_and_kind, jobs))

    def not_taken(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """The service has no room for these jobs yet. They replace those of the last call."""
        self._not_taken = jobs

    def accepted(self, job: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """The service accepted a job that is followed. A duplicate may have ended long ago."""
        entry = {**_about(job), "id": answer["id"], "state": answer["state"], "duplicate": answer["duplicate"]}
        self.display.added(1)
        if answer["state"] in ENDED:
            self._end({**entry, **_only(answer, "result", "error")})
        else:
            self._open.setdefault(answer["id"], []).append(entry)
            if answer["id"] in self._early:  # not removed yet: another job of this batch may share the id
                self.notified(*self._early[answer["id"]])

    def accepted_unwatched(self, job: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """The service accepted a job that is not followed. It counts as ok."""
        self.display.added(1)
        self.ok += 1
        if answer["state"] not in ENDED:
            self.left.add(_destination_and_kind(job))
        self.display.ended({**_about(job), **_only(answer, "id", "state", "duplicate", "result")})

    def rejected(self, job: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """The service refused a job. It counts as failed."""
        error = {"code": answer["code"], "message": answer["message"], "permanent": True}
        self.display.added(1)
        self._end({**_about(job), "state": "rejected", "error": error})

    def notified(self, method: str, params: Mapping[str, Any]) -> None:
        """The service sent a notification. All but `event` and `progress` are ignored."""
        if method not in {"event", "progress"}:
            return
        entries = self._open.get(params["id"])
        if not entries:
            if params.get("state") in ENDED:
                self._early[params["id"]] = (method, params)
            return
        if method == "progress":
            self.display.progressed(params["id"], params["bytes_out"], params["total"])
        elif params["state"] in ENDED:
            for entry in self._open.pop(params["id"]):
                self._end({**entry, "state": params["state"], **_only(params, "result", "error")})
        elif params["state"] == "running":
            self.display.started({**entries[0], **params})
        elif params["state"] == "waiting":
            self.display.retrying({**entries[0], **params})

    def batch_answered(self) -> None:
        """Every job of the batch is known now, so the events of unknown jobs can be dropped."""
        self._early.clear()

    def _end(self, job: Mapping[str, Any]) -> None:
        if job["state"] == "done":
            self.ok += 1
        else:
            self.failed += 1
        self.display.ended(job)


def _destination_and_kind(job: Mapping[str, Any]) -> tuple[str, str]:
    return str(job.get("destination")), str(job.get("kind"))


def _about(job: Mapping[str, Any]) -> dict[str, Any]:
    return {name: job.get(name) for name in ("destination", "kind", "r2_key")}


def _only(mapping: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}
