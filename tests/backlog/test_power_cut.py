"""A power cut at any write loses nothing that was acknowledged (fault 19), and `synchronous=FULL` is what it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.settlement import Failed, Retry
from streamwarm.backlog.sqlite.file import configure, connect
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Pushed, Store
from streamwarm.model import Kind, Lease, State
from tests.worlds.backlog import DIGEST, TIMED_OUT, Clock, done, numbered, photo
from tests.worlds.power_cut import Connection, Disk, Write

NAME = "streamwarm.db"
ROUNDS = 6


@define(eq=False)
class Past:
    """What a store did on `disk`. `told` has each job's acknowledged states, with the number of writes before each."""

    disk: Disk = field(factory=Disk)
    told: dict[str, list[tuple[int, State]]] = field(factory=dict)

    def acknowledge(self, job_id: str, state: State) -> None:
        self.told.setdefault(job_id, []).append((len(self.disk.record), state))


async def in_place(function: Callable[..., object], *args: object, **_: object) -> object:
    return function(*args)


def open_on(connect_to: Callable[[str], object], path: Path):  # type: ignore[no-untyped-def]
    return open_sqlite_store(
        str(path),
        limits=StoreBounds(),
        now=Clock(),
        new_id=numbered("job-"),
        new_token=numbered("token-"),
        run_sync=in_place,
        connect=connect_to,  # type: ignore[arg-type]
    )


async def live(*pragmas: str) -> Past:
    """Run a store for a short time: pushes, claims, every kind of ending, and checkpoints of the log in between."""
    past = Past()

    def connect_to(path: str) -> Connection:
        connection = past.disk.connect(path)
        configure(connection)  # type: ignore[arg-type]
        for pragma in ("wal_autocheckpoint = 12", *pragmas):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    with tempfile.TemporaryDirectory() as folder, past.disk:
        async with open_on(connect_to, Path(folder) / NAME) as store:
            for number in range(ROUNDS):
                await one_round(store, past, number)
    return past


async def one_round(store: Store, past: Past, number: int) -> None:
    pushed = await store.push([photo(f"{number}/{name}.jpg") for name in "abcd"])
    ids = [answer.id for answer in pushed if isinstance(answer, Pushed)]
    for job_id in ids:
        past.acknowledge(job_id, State.QUEUED)
    claims = await store.claim(ids[:3])
    for claim in claims:
        past.acknowledge(claim.job.id, State.RUNNING)
    first, second, third = claims
    endings = [done(first, f"file of {first.job.id}"), Failed(second.lease, TIMED_OUT)]
    assert await store.settle([*endings, Retry(third.lease, TIMED_OUT, 2_000_000.0)]) == [True] * 3
    for job_id, state in zip(ids, (State.DONE, State.FAILED, State.WAITING), strict=False):
        past.acknowledge(job_id, state)
    await store.cancel(ids[3])
    past.acknowledge(ids[3], State.CANCELLED)


async def lost_after_cut(past: Past, at: int, random: Random | None) -> list[str]:
    """The jobs whose state is neither the last one acknowledged before the cut nor a later one."""
    lost = []
    with tempfile.TemporaryDirectory() as folder:
        past.disk.after_cut(at, random, Path(folder))
        async with open_on(connect, Path(folder) / NAME) as store:
            for job_id, told in past.told.items():
                acknowledged = [state for after, state in told if after <= at]
                if acknowledged and not await survived(store, job_id, [s for _, s in told][len(acknowledged) - 1 :]):
                    lost.append(job_id)
        with closing(connect(f"{folder}/{NAME}")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return lost


async def survived(store: Store, job_id: str, may_be: list[State]) -> bool:
    job = await store.get(job_id)
    if job is None or job.state not in may_be:
        return False
    events = [event for event in await store.events_after(0, limit=1_000) if event.id == job_id]
    assert events[-1].state is job.state  # the event is in the same transaction as the state it reports
    if job.state is State.DONE:
        record = await store.find("bot", Kind.PHOTO, r2_key=job.r2_key)
        assert record is not None
        assert record.sha256 == DIGEST
        assert record.result == {"file_id": f"file of {job_id}"}
    if job.state is State.RUNNING:
        assert await store.settle([done_of(job_id)]) == [False]  # another lease than the one it runs under
    return True


def done_of(job_id: str) -> Failed:
    return Failed(Lease(job_id, "a token of before the cut"), TIMED_OUT)


@pytest.fixture(scope="module")
def pasts() -> dict[tuple[str, ...], Past]:
    """Each run is made once; a cut only reads its record."""
    return {}


async def past_of(pasts: dict[tuple[str, ...], Past], *pragmas: str) -> Past:
    if pragmas not in pasts:
        pasts[pragmas] = await live(*pragmas)
    return pasts[pragmas]


@settings(max_examples=80)
@given(at=st.integers(0, 9_999), seed=st.none() | st.integers(0, 2**32))
async def test_a_power_cut_at_any_write_loses_no_acknowledged_job(
    pasts: dict[tuple[str, ...], Past], at: int, seed: int | None
) -> None:
    past = await past_of(pasts)
    cut = at * (len(past.disk.record) + 1) // 10_000
    assert await lost_after_cut(past, cut, None if seed is None else Random(seed)) == []


async def test_a_power_cut_right_after_each_acknowledgement_loses_nothing(
    pasts: dict[tuple[str, ...], Past],
) -> None:
    past = await past_of(pasts)
    moved = [n for n, change in enumerate(past.disk.record) if isinstance(change, Write) and change.name == NAME]
    assert moved[-1] > len(past.disk.record) // 2, "the log was never moved into the file: that is not tested here"
    for cut in sorted({after for told in past.told.values() for after, _ in told}):
        assert await lost_after_cut(past, cut, None) == []


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
async def test_less_syncing_would_lose_acknowledged_jobs_and_this_test_would_see_it(
    pasts: dict[tuple[str, ...], Past], synchronous: str
) -> None:
    past = await past_of(pasts, f"synchronous = {synchronous}")
    last = max(after for told in past.told.values() for after, _ in told)
    assert await lost_after_cut(past, last, None) != []
