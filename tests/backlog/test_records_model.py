"""Objects are replaced, deleted and put back, uploads and comparisons end late, processes die, bots change. After every
step each store must answer what a person would expect, and in the end what the bucket has."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any

from attrs import define, field
from hypothesis import given, note, settings
from hypothesis import strategies as st

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.postgres.store import open_postgres_store
from streamwarm.backlog.records import Comparison, Found, Gone, Unanswered
from streamwarm.backlog.settlement import Done, Failed
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Pushed, Store
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import Claim, Kind, NewJob, Refresh, SeenObject, State
from tests.backlog.test_stores_agree_with_memory import in_place
from tests.worlds.backlog import OVER_SOCKETS, Clock, numbered
from tests.worlds.postgres import PostgresServer
from tests.worlds.records import counted, recounted
from tests.worlds.records_model import Expected, Reference

LIMITS = StoreBounds(max_pending=50, trust_s=20)
KEYS, VERSIONS, ACCOUNTS = ["a.jpg", "b.jpg"], [1, 2, 3], ["1", "2"]
MISSING = JobError(ErrorCode.SOURCE_NOT_FOUND, "gone", permanent=True)

Open = Callable[..., AbstractAsyncContextManager[Store]]


def digest(version: int) -> str:
    return str(version) * 64


@define
class Upload:
    claim: Claim
    account: str
    version: int | None = None
    opened_at: float = 0.0


@define
class World:
    """A bucket, a store and the workers between them. Each step takes a second."""

    open_store: Open
    stack: AsyncExitStack
    clock: Clock = field(factory=Clock)
    accounts: dict[str, str] = field(factory=lambda: {"bot": "1"})
    bucket: dict[str, int] = field(factory=dict)
    expected: Expected = field(factory=Expected)
    uploads: list[Upload] = field(factory=list)
    asked: list[tuple[str, int | None, float]] = field(factory=list)
    file_ids: Callable[[], str] = field(factory=lambda: numbered("file-"))
    new_id: Callable[[], str] = field(factory=lambda: numbered("job-"))
    new_token: Callable[[], str] = field(factory=lambda: numbered("token-"))
    store: Store = field(init=False)

    async def start(self) -> None:
        opened = self.open_store(
            limits=LIMITS, now=self.clock, new_id=self.new_id, new_token=self.new_token, accounts=self.accounts
        )
        self.store = await self.stack.enter_async_context(opened)

    @property
    def account(self) -> str:
        return self.accounts["bot"]

    async def put(self, key: str, version: int) -> None:
        self.bucket[key] = version

    async def delete(self, key: str) -> None:
        self.bucket.pop(key, None)

    async def push(self, key: str, how: str, version: int, refresh: Refresh) -> None:
        """By key, or naming a version as it is now or as an old list has it."""
        named = self.bucket.get(key, version) if how.startswith("present") else version
        sha256 = digest(named) if how.endswith("digest") else None
        etag = f"e{named}" if how.endswith("etag") else None
        job = NewJob("bot", Kind.PHOTO, key, sha256=sha256, source_etag=etag, refresh=refresh)
        (pushed,) = await self.store.push([job])
        assert isinstance(pushed, Pushed)
        if pushed.state is not State.DONE:
            return
        assert pushed.result is not None
        by_key = self.expected.by_key(self.account, key)
        if sha256 is not None and (by_key is None or by_key.version != named or not by_key.has_digest):
            by_digest = self.expected.by_digest(self.account, named)
            wanted = by_digest or (by_key if by_key and not by_key.has_digest else None)
            assert wanted is not None
            assert pushed.result["file_id"] == wanted.file_id
            if by_key is None:
                self.expected.take_word(self.account, key, named, etag)
        else:
            assert by_key is not None
            assert pushed.result["file_id"] == by_key.file_id

    async def ask(self, late: bool) -> None:
        """Ask the bucket about what waits. The answer comes at once, or `late`."""
        keys = [key for key in await self.store.to_check(9) if key not in {one for one, *_ in self.asked}]
        self.asked += [(key, self.bucket.get(key), self.clock.at) for key in keys]
        if not late:
            await self.answer()

    async def look(self, key: str) -> None:
        """Compare an object that no job waits for, as a look-up does."""
        self.asked.append((key, self.bucket.get(key), self.clock.at))

    async def answer(self) -> None:
        asked, self.asked = self.asked, []
        for key, version, at in asked:
            seen = Gone() if version is None else Found(f"e{version}", last_modified=at)
            await self.store.compare([Comparison(key, seen, at)])
            self.expected.compare(key, version, at)

    async def be_silent(self) -> None:
        waiting = await self.store.to_check(9)
        await self.store.compare([Comparison(key, Unanswered(), self.clock.at) for key in waiting])

    async def claim(self) -> None:
        found = await self.store.queued(9)
        claims = await self.store.claim([job.id for job in found[:1]])
        self.uploads += [Upload(claim, self.account) for claim in claims]

    async def open(self, which: int) -> None:
        unopened = [upload for upload in self.uploads if upload.version is None]
        if not unopened:
            return
        upload = unopened[which % len(unopened)]
        version, job = self.bucket.get(upload.claim.job.r2_key), upload.claim.job
        if version is None or job.sha256 not in {None, digest(version)}:
            self.uploads.remove(upload)
            await self.store.settle([Failed(upload.claim.lease, MISSING)])
            return
        upload.version, upload.opened_at = version, self.clock.at

    async def finish(self, which: int, is_read: bool) -> None:
        opened = [upload for upload in self.uploads if upload.version is not None]
        if not opened:
            return
        upload = opened[which % len(opened)]
        self.uploads.remove(upload)
        version, job, file_id = upload.version, upload.claim.job, self.file_ids()
        assert version is not None
        has_digest = is_read or job.sha256 is not None
        seen = SeenObject(job.r2_key, 5, f'"e{version}"', None, digest(version) if has_digest else None)
        done = Done(upload.claim.lease, {"file_id": file_id}, seen, opened_at=upload.opened_at)
        if await self.store.settle([done]) == [True]:
            reference = Reference(file_id, version, has_digest, upload.opened_at, f"e{version}")
            self.expected.deliver(self.account, job.r2_key, reference)

    async def upload(self, key: str, version: int, to_the_end: bool) -> None:
        """Put a version into the bucket and begin to warm it anew; perhaps to the end."""
        self.bucket[key] = version
        await self.push(key, "key", version, Refresh.ALWAYS)
        for _ in range(3):
            await self.claim()
        before = len([upload for upload in self.uploads if upload.version is not None])
        while any(upload.version is None for upload in self.uploads):
            self.clock.at += 1
            await self.open(0)
        if to_the_end and before < len(self.uploads):
            self.clock.at += 1
            await self.finish(len(self.uploads) - 1, is_read=True)

    async def kill(self) -> None:
        """The process dies: what was not committed is lost, and every upload with it."""
        if self.open_store is not open_memory_store:
            await self.stack.aclose()
            await self.start()
        self.asked.clear()
        await self.store.rescue(everything=True)
        for upload in self.uploads:
            late = Done(upload.claim.lease, {"file_id": "late"}, SeenObject("a.jpg", 5, None, None, None))
            assert await self.store.settle([late]) == [False]
        self.uploads.clear()

    async def change_bot(self) -> None:
        """Another bot's token is configured, which takes a restart."""
        await self.kill()
        self.accounts["bot"] = "2" if self.account == "1" else "1"

    async def forget(self, key: str) -> None:
        await self.store.forget("bot", Kind.PHOTO, r2_key=key)
        self.expected.forget(self.account, key)

    async def wait(self, seconds: float) -> None:
        self.clock.at += seconds

    async def check(self) -> None:
        """Every look-up answers what is expected."""
        for key in KEYS:
            found = await self.store.find("bot", Kind.PHOTO, r2_key=key)
            assert _file_id(found) == _named(self.expected.by_key(self.account, key)), key
        for version in VERSIONS:
            found = await self.store.find("bot", Kind.PHOTO, sha256=digest(version))
            assert _file_id(found) == _named(self.expected.by_digest(self.account, version)), version

    async def end(self) -> None:
        """Once all that was begun has ended and every key was pushed again, look-ups answer what the bucket has."""
        for key in self.bucket:
            self.clock.at += LIMITS.trust_s
            await self.push(key, "key", 0, Refresh.IF_CHANGED)
            while await self.store.to_check(9) or await self.store.queued(9) or self.uploads:
                for name, *args in (("ask", False), ("claim",), ("open", 0), ("finish", 0, True)):
                    self.clock.at += 1
                    await getattr(self, name)(*args)
                    await self.check()
        for key, version in self.bucket.items():
            reference = self.expected.by_key(self.account, key)
            assert reference is not None
            assert reference.version == version
        assert await counted(self.store) == await recounted(self.store)


def _file_id(record: Any) -> str | None:
    return None if record is None else record.result["file_id"]


def _named(reference: Reference | None) -> str | None:
    return None if reference is None else reference.file_id


def step(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(st.just(name), st.tuples(*args))


keys, versions, which = st.sampled_from(KEYS), st.sampled_from(VERSIONS), st.integers(0, 2)
ways = st.sampled_from(["key", "key", "present digest", "old digest", "present etag", "old etag"])
refreshes = st.sampled_from([Refresh.IF_CHANGED, Refresh.IF_CHANGED, Refresh.ALWAYS, Refresh.NEVER])
pushes = step("push", keys, ways, versions, refreshes)
uploads = step("upload", keys, versions, st.booleans())
rare = st.one_of(
    step("kill"),
    step("change_bot"),
    step("forget", keys),
    step("be_silent"),
    step("delete", keys),
    step("wait", st.sampled_from([0.0, 30.0])),
)
steps = st.one_of(
    step("put", keys, versions),
    pushes,
    pushes,
    uploads,
    uploads,
    step("ask", st.booleans()),
    step("look", keys),
    step("answer"),
    step("claim"),
    step("open", which),
    step("finish", which, st.booleans()),
    step("finish", which, st.booleans()),
    rare,
)


async def live_through(open_store: Open, sequence: list[tuple[str, tuple[Any, ...]]]) -> None:
    note(f"{sequence}")
    async with AsyncExitStack() as stack:
        world = World(open_store, stack)
        await world.start()
        for name, args in sequence:
            note(f"{name}{args} {world.expected}")
            world.clock.at += 1
            await getattr(world, name)(*args)
            await world.check()
        await world.end()


lives = st.lists(steps, min_size=15, max_size=50)


@settings(max_examples=150)
@given(sequence=lives)
async def test_memory_answers_what_a_person_would_expect(sequence: list[tuple[str, tuple[Any, ...]]]) -> None:
    await live_through(open_memory_store, sequence)


@settings(max_examples=25)
@given(sequence=lives)
async def test_sqlite_answers_what_a_person_would_expect(sequence: list[tuple[str, tuple[Any, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await live_through(partial(open_sqlite_store, f"{folder}/x.db", run_sync=in_place), sequence)


@settings(max_examples=8)
@given(sequence=lives)
async def test_postgres_answers_what_a_person_would_expect(
    postgres_server: PostgresServer, sequence: list[tuple[str, tuple[Any, ...]]]
) -> None:
    await live_through(partial(open_postgres_store, postgres_server.new_schema(), **OVER_SOCKETS), sequence)
