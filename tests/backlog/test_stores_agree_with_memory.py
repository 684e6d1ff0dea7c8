"""After any sequence of operations, SQLite and PostgreSQL return what memory does, yet keep rows in other ways."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.postgres.store import open_postgres_store
from streamwarm.backlog.settlement import Done, Failed, Release, Retry
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Filter, Store
from streamwarm.model import Kind, Lease, NewJob, SeenObject, State
from tests.worlds.backlog import LOST, OVER_SOCKETS, TIMED_OUT, Clock, numbered
from tests.worlds.postgres import PostgresServer

LIMITS = StoreBounds(max_pending=6, max_attempts=2, keep_done_s=500, keep_failed_s=900, max_wait_s=700)
KEYS, DIGESTS, DESTINATIONS = ["a", "b", "c"], [None, "11" * 32, "22" * 32], ["bot", "other"]
KINDS = [Kind.PHOTO, Kind.VIDEO]

Step = Callable[[Store], Awaitable[Any]]

new_jobs = st.builds(
    NewJob,
    destination=st.sampled_from(DESTINATIONS),
    kind=st.sampled_from(KINDS),
    r2_key=st.sampled_from(KEYS),
    sha256=st.sampled_from(DIGESTS),
    bytes=st.sampled_from([None, 5, 30_000_000]),
    id=st.sampled_from([None, None, "x", "y"]),
)
job_ids = st.sampled_from(["x", "y", *(f"job-{n}" for n in range(1, 5))])
ANY = "any"
leases = st.builds(Lease, st.just(ANY), st.integers(0, 3).map(str))
"""The token says how many claims before the last one the lease was given; `agree` replaces it."""

settlements = st.one_of(
    st.builds(
        Done,
        lease=leases,
        result=st.just({"file_id": "f"}),
        seen=st.builds(
            SeenObject,
            r2_key=st.sampled_from(KEYS),
            bytes=st.just(9),
            etag=st.none(),
            content_type=st.none(),
            sha256=st.sampled_from(DIGESTS[1:]),
        ),
    ),
    st.builds(Failed, lease=leases, error=st.just(LOST), state=st.sampled_from([State.FAILED, State.UNKNOWN])),
    st.builds(
        Retry,
        lease=leases,
        error=st.just(TIMED_OUT),
        retry_at=st.sampled_from([1_000_000.0, 1_000_050.0, 1_000_900.0]),
        counts=st.booleans(),
        possible_duplicate=st.booleans(),
    ),
    st.builds(Release, lease=leases),
)

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def calls(name: str, *args: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), st.tuples(*args), st.fixed_dictionaries(named))


media = (st.sampled_from(DESTINATIONS), st.sampled_from(KINDS))
pushes = calls("push", st.lists(new_jobs, min_size=2, max_size=6))
steps = st.one_of(
    pushes,
    calls("claim", st.lists(job_ids, min_size=3, max_size=6)),
    calls("claim", st.just([f"job-{n}" for n in range(1, 9)])),
    calls("settle", st.lists(settlements, min_size=1, max_size=4)),
    calls("settle", st.lists(settlements, min_size=1, max_size=4)),
    calls("renew", st.lists(leases, max_size=3)),
    calls("cancel", job_ids),
    calls("retry", job_ids),
    calls("forget", *media, sha256=st.sampled_from(DIGESTS[1:])),
    calls("forget", *media, r2_key=st.sampled_from(KEYS)),
    calls("wake_due"),
    calls("rescue", everything=st.booleans()),
    calls("prune"),
    st.tuples(st.just("pass"), st.sampled_from([(1.0,), (40.0,), (600.0,)]), st.just({})),
)


async def everything_visible(store: Store) -> list[Any]:
    """Everything that a user can read from a store."""
    seen: list[Any] = [await store.counts(), await store.queued(3), await store.queued(50)]
    filters = [Filter(state, place) for state in (None, State.QUEUED, State.DONE) for place in (None, "bot")]
    seen += [await store.list_jobs(which, limit=3) for which in filters]
    seen.append(await store.events_after(2, limit=500))
    seen.append(await store.events_after(0, limit=4))
    seen.append(await store.last_seq())
    seen += [await store.attempts(job_id) for job_id in ("x", "y", *(f"job-{n}" for n in range(1, 5)))]
    for destination in DESTINATIONS:
        for kind in KINDS:
            seen += [await store.find(destination, kind, sha256=digest) for digest in DIGESTS[1:]]
            seen += [await store.find(destination, kind, r2_key=key) for key in KEYS]
    return seen


async def in_place(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
    """Runs SQLite without threads: handing over each of these tiny operations would take most of the time."""
    return function(*args)


def _with_leases(argument: Any, granted: list[Lease]) -> Any:
    if isinstance(argument, list):
        return [_with_leases(item, granted) for item in argument]
    if isinstance(argument, Lease):
        return granted[-1 - int(argument.token) % len(granted)] if granted else argument
    if isinstance(argument, Done | Failed | Retry | Release):
        return evolve(argument, lease=_with_leases(argument.lease, granted))
    return argument


async def agree(open_other: Callable[..., Any], sequence: list[Call]) -> None:
    clock = Clock()
    async with AsyncExitStack() as stack:
        other, memory = [
            await stack.enter_async_context(
                opened(limits=LIMITS, now=clock, new_id=numbered("job-"), new_token=numbered("token-"))
            )
            for opened in (open_other, open_memory_store)
        ]
        granted: list[Lease] = []
        for name, args, named in sequence:
            if name == "pass":
                clock.at += args[0]
                continue
            meant = [_with_leases(argument, granted) for argument in args]
            answer = await getattr(memory, name)(*meant, **named)
            assert await getattr(other, name)(*meant, **named) == answer
            if name == "claim":
                granted += [claim.lease for claim in answer]
        assert await everything_visible(other) == await everything_visible(memory)


@settings(max_examples=15)
@given(first=pushes, sequence=st.lists(steps, min_size=15, max_size=25))
async def test_sqlite_and_memory_tell_users_the_same(first: Call, sequence: list[Call]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await agree(partial(open_sqlite_store, f"{folder}/x.db", run_sync=in_place), [first, *sequence])


@settings(max_examples=15)
@given(first=pushes, sequence=st.lists(steps, min_size=15, max_size=25))
async def test_postgres_and_memory_tell_users_the_same(
    postgres_server: PostgresServer, first: Call, sequence: list[Call]
) -> None:
    await agree(partial(open_postgres_store, postgres_server.new_schema(), **OVER_SOCKETS), [first, *sequence])
