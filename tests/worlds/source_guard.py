"""A source guard on a store in memory, and the bucket that it probes, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import Factory, define

from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.source_guard import SourceGuard
from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.source import Source


def refused() -> SourceError:
    return SourceError(ErrorCode.SOURCE_REFUSED, "SignatureDoesNotMatch", permanent=False, blame=Blame.BUCKET)


def passing() -> SourceError:
    return SourceError(ErrorCode.SOURCE_UNAVAILABLE, "503")


@define
class Bucket(Source):
    """A bucket that answers every probe with `error`, if there is one. `readable` are the objects that it gives though
    it refuses everything else; `asked_for` are the objects that each probe was given."""

    error: SourceError | None = None
    probed_at: list[float] = Factory(list)
    takes_s: float = 0.0
    offline: bool = False
    readable: Collection[str] = ()
    asked_for: list[list[str]] = Factory(list)

    def set_offline(self, offline: bool) -> None:
        self.offline = offline

    async def probe(self, *, warmed: Sequence[str] = (), queued: Sequence[str] = ()) -> None:
        self.probed_at.append(trio.current_time())
        self.asked_for.append([*warmed, *queued])
        await trio.sleep(self.takes_s)
        if self.error is not None and not set(self.readable) & {*warmed, *queued}:
            raise self.error


@define
class Process:
    guard: SourceGuard
    limits: Limits
    store: Store
    observed: list[Any]
    wakes: list[None]

    @property
    def paused(self) -> str | None:
        return self.limits.source_pause.reason if self.limits.source_pause else None

    async def follow(self) -> None:
        read_at = trio.current_time()
        self.guard.follow(await self.store.shared_limits(), read_at)


def process(store: Store, bucket: Bucket, name: str = "one", *, of: int = 1) -> Process:
    limits, observed, wakes = Limits(processes=of), list[Any](), list[None]()
    guard = SourceGuard(store, limits, bucket, lambda: name, lambda: wakes.append(None), observed.append, str)
    return Process(guard, limits, store, observed, wakes)


@asynccontextmanager
async def running(one: Process) -> AsyncIterator[trio.CancelScope]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.guard.run)
        yield nursery.cancel_scope
        nursery.cancel_scope.cancel()
