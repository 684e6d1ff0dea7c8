"""Short helpers for tests of records: objects in versions, and what a look-up answers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from streamwarm.backlog.records import Comparison, Found, Gone, RecordFilter, Seen, Unanswered
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.store import Store
from streamwarm.model import Claim, Kind, NewJob, SeenObject, SourceState, State, WarmRecord
from tests.worlds.backlog import claim_one, photo, push_one

ONE, TWO, THREE = "11" * 32, "22" * 32, "33" * 32


def delivered(claim: Claim, digit: str, *, opened_at: float | None = None, digest: bool = True) -> Done:
    """The attempt delivered the version with this digit: its file id, ETag and digest are made of it."""
    sha256 = (digit * 64)[:64] if digest else None
    seen = SeenObject(claim.job.r2_key, 1_000, f'"e{digit}"', None, sha256)
    return Done(claim.lease, {"file_id": f"f{digit}", "sha256": sha256}, seen, opened_at=opened_at)


async def begin(store: Store, new: NewJob) -> Claim:
    """Push a job that nothing answers, have its object compared if need be, and claim it."""
    pushed = await push_one(store, new)
    if pushed.to_check is not None:
        await store.compare([Comparison(pushed.to_check, Found("another"), store.now())])
    return await claim_one(store, pushed.id)


async def warm_version(store: Store, digit: str, new: NewJob | None = None, *, digest: bool = True) -> None:
    claim = await begin(store, new or photo())
    assert await store.settle([delivered(claim, digit, digest=digest)]) == [True]


async def record(store: Store, r2_key: str = "a.jpg", destination: str = "bot") -> WarmRecord:
    found = await store.find(destination, Kind.PHOTO, r2_key=r2_key)
    assert found is not None
    return found


async def answer(store: Store, r2_key: str | None = "a.jpg", sha256: str | None = None) -> Any:
    found = await store.find("bot", Kind.PHOTO, r2_key=None if sha256 else r2_key, sha256=sha256)
    return None if found is None else found.result["file_id"]


async def compare(store: Store, seen: Seen, r2_key: str = "a.jpg", **more: Any) -> Any:
    return await store.compare([Comparison(r2_key, seen, store.now(), **more)])


async def state(store: Store, job_id: str) -> State:
    return (await store.states([job_id]))[job_id]


async def every_record(store: Store, which: RecordFilter | None = None, limit: int = 2) -> list[WarmRecord]:
    """All pages, in their order."""
    found: list[WarmRecord] = []
    page = await store.records(which or RecordFilter(), limit=limit)
    found += page.records
    while page.next is not None:
        page = await store.records(which or RecordFilter(), limit=limit, after=page.next)
        found += page.records
    return found


async def recounted(store: Store) -> dict[tuple[str, SourceState], int]:
    return dict(Counter((one.destination, one.source_state) for one in await every_record(store)))


async def counted(store: Store) -> dict[tuple[str, SourceState], int]:
    return dict(await store.record_counts())


__all__ = [
    "ONE", "THREE", "TWO", "Found", "Gone", "Unanswered", "answer", "begin", "compare", "counted", "delivered",
    "every_record", "record", "recounted", "state", "warm_version",
]  # fmt: skip
