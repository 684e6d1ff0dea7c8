"""What a SQLite backlog survives: kills, full disks, locks, several openers."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.queries import BACKLOG, load_queries
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.sqlite.file import connect, migrate
from streamwarm.backlog.sqlite.service_lock import lock_service
from streamwarm.backlog.store import Pushed, Store
from streamwarm.errors import StoreLocked, StoreUnavailable
from streamwarm.model import Kind, SeenObject, State
from tests.worlds.backlog import DIGEST, OpenStore, claim_one, photo, push_one, start, view

ROOMY = StoreBounds(max_pending=50_000)


async def test_two_hundred_kills_lose_no_acknowledged_job_and_warm_nothing_twice(
    path: str, open_sqlite: OpenStore
) -> None:
    command = [sys.executable, "-m", "tests.worlds.killed_lives", path, "200"]
    finished = await trio.run_process(command, capture_stdout=True, cwd=Path(__file__).parents[2])
    told = [line.split() for line in finished.stdout.decode().splitlines()]
    file_ids = {words[1]: words[2] for words in told if words[0] == "done"}
    assert len(file_ids) > 200
    async with open_sqlite(limits=ROOMY) as store:
        await store.rescue(everything=True)
        await store.wake_due()
        for job_id in {words[1] for words in told}:
            job = await view(store, job_id)
            assert job.state in {State.DONE, State.QUEUED}
            if job_id in file_ids:
                assert job.result == {"file_id": file_ids[job_id]}
        queued = await store.queued(50_000)
        counts = await store.counts()
        assert counts.by_state[State.QUEUED] == len(queued) == len(await store.claim([job.id for job in queued]))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count = "SELECT count(*) FROM"
        done = connection.execute(f"{count} jobs WHERE state = 'done'").fetchone()
        assert connection.execute(f"{count} events WHERE state = 'done'").fetchone() == done
        assert connection.execute(f"{count} media_cache WHERE status = 'ready'").fetchone() == done
        assert connection.execute(f"{count} (SELECT DISTINCT r2_key FROM jobs WHERE state = 'done')").fetchone() == done


async def test_ten_thousand_jobs_are_taken_in_one_push(open_sqlite: OpenStore) -> None:
    async with open_sqlite(limits=ROOMY) as store:
        answers = await store.push([photo(f"{number}.jpg") for number in range(10_000)])
        assert all(isinstance(answer, Pushed) and not answer.duplicate for answer in answers)
        assert await store.last_seq() == 10_000


class Disk:
    """Connections whose disk can be filled or made read-only, and fixed again."""

    def __init__(self) -> None:
        self._connections: list[sqlite3.Connection] = []

    def connect(self, path: str) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA busy_timeout = 50")
        self._connections.append(connection)
        return connection

    def set(self, *pragmas: str) -> None:
        _migration, writer, *_readers = self._connections
        for pragma in pragmas:
            writer.execute(f"PRAGMA {pragma}")


@pytest.mark.parametrize(
    ("trouble", "remedy", "fixed"),
    [
        ("max_page_count = 1", "free space", "max_page_count = 1000000"),
        ("query_only = ON", "writable", "query_only = OFF"),
    ],
)
async def test_a_disk_that_refuses_is_never_acknowledged_and_work_resumes_by_itself(
    open_sqlite: OpenStore, path: str, trouble: str, remedy: str, fixed: str
) -> None:
    disk = Disk()
    async with open_sqlite(connect=disk.connect) as store:
        running = await push_one(store, photo("before.jpg"))
        disk.set(trouble)
        big = [photo(f"{n}.jpg", options={"caption": "x" * 5_000}) for n in range(10)]
        with pytest.raises(StoreUnavailable, match=remedy) as raised:
            await store.push(big)
        assert path in str(raised.value)
        assert [job.id for job in await store.queued(100)] == [running.id]
        disk.set(fixed)
        assert len([a for a in await store.push(big) if isinstance(a, Pushed)]) == 10
        await store.check_writable()


async def test_a_locked_file_refuses_in_time_and_recovers(open_sqlite: OpenStore, path: str) -> None:
    async with open_sqlite(connect=Disk().connect) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with trio.fail_after(20):
            with pytest.raises(StoreUnavailable, match="another program holds the file"):
                await store.push([photo()])
            with pytest.raises(StoreUnavailable):
                await store.check_writable()
        assert await store.queued(10) == []
        other.execute("ROLLBACK")
        other.close()
        assert (await push_one(store, photo())).state is State.QUEUED


async def test_several_first_openers_make_one_schema(path: str) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(trio.to_thread.run_sync, migrate, path)
    connection = sqlite3.connect(path)
    scripts = sorted((int(file.name[:4]),) for file in (BACKLOG / "sqlite" / "sql").glob("0*.sql"))
    assert connection.execute("SELECT version FROM schema_migrations").fetchall() == scripts
    connection.close()


async def test_a_newer_schema_is_left_alone(path: str, open_sqlite: OpenStore) -> None:
    migrate(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("INSERT INTO schema_migrations VALUES (999, 0)")
    connection.close()
    with pytest.raises(StoreUnavailable, match="version 999"):
        async with open_sqlite():
            raise AssertionError("it opened")


@pytest.mark.parametrize(("content", "message"), [(None, "folder exists"), (b"not a database " * 100, "store.url")])
async def test_a_file_that_cannot_be_opened_is_named_with_the_remedy(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    place = tmp_path / "missing" / "x.db" if content is None else tmp_path / "x.db"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=message) as raised:
        migrate(str(place))
    assert str(place) in str(raised.value)


def test_a_second_service_on_the_same_file_is_told_who_holds_it(path: str) -> None:
    with lock_service(path):
        holder = Path(f"{path}.lock").read_text().strip()
        with pytest.raises(StoreLocked, match=f"pid {holder}.*store.url"), lock_service(path):
            raise AssertionError("it was locked twice")
    with lock_service(path):
        assert Path(f"{path}.lock").read_text().strip() == holder


async def test_one_bad_operation_leaves_its_neighbours_committed(open_sqlite: OpenStore) -> None:
    outcomes: list[object] = []

    async def push(store: Store, key: str) -> None:
        try:
            outcomes.append(await push_one(store, photo(key)))
        except UnicodeEncodeError as error:
            outcomes.append(error.reason)

    async with open_sqlite() as store:
        async with trio.open_nursery() as nursery:
            for key in ("a.jpg", "\ud800", "b.jpg"):
                nursery.start_soon(push, store, key)
        assert len([outcome for outcome in outcomes if isinstance(outcome, Pushed)]) == 2
        assert "surrogates not allowed" in outcomes
        assert len(await store.queued(10)) == 2


async def test_a_cancelled_caller_leaves_the_store_working_and_no_claim_behind(
    open_sqlite: OpenStore,
) -> None:
    async with open_sqlite() as store:
        job_id = (await push_one(store, photo())).id
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.claim([job_id])
        assert scope.cancelled_caught
        assert (await claim_one(store, job_id)).job.attempt == 1


async def test_another_process_on_the_file_is_heard(open_sqlite: OpenStore) -> None:
    async with open_sqlite() as mine, open_sqlite() as other:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(push_one, other, photo())
                heard = await mine.next_events(0, limit=10)
        assert [event.state for event in heard] == [State.QUEUED]


def plan(connection: sqlite3.Connection, query: str) -> str:
    named = dict.fromkeys(re.findall(r":(\w+)", query))
    return " ".join(row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", named))


SMALL_TABLES = {"job_counts", "last_seq_of_table", "mends", "moved_lanes", "pauses", "probe_tables"}
SMALL_TABLES |= {"record_counts", "set_asides", "silences"}
ONCE_AT_THE_START = {"counted_jobs"}


@pytest.fixture
def schema(path: str) -> Iterator[Callable[[str], str]]:
    migrate(path)
    with closing(connect(path)) as connection:
        yield lambda query: plan(connection, query)


def test_a_ready_record_is_one_index_read(schema: Callable[[str], str]) -> None:
    told = schema(load_queries("sqlite")["record_by_name"])
    assert told == (
        "SEARCH media_cache USING INDEX ix_media_cache_lookup (r2_key=? AND destination=? AND kind=? AND account=?)"
    )


@pytest.mark.parametrize("name", sorted(set(load_queries("sqlite")) - SMALL_TABLES - ONCE_AT_THE_START))
def test_no_query_scans_or_sorts_a_table_that_grows(schema: Callable[[str], str], name: str) -> None:
    query = load_queries("sqlite")[name]
    if not query.startswith("SELECT"):
        return
    told = schema(query)
    assert "SCAN" not in told
    assert "TEMP B-TREE" not in told


def test_the_plans_that_the_docs_show_are_those_that_run(schema: Callable[[str], str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    shown = re.findall(r"^(\w+): (SEARCH .*)$", text, re.MULTILINE)
    assert len(shown) >= 10
    queries = load_queries("sqlite")
    # Newer releases of SQLite answer more of them from the index alone and say so.
    run = [(name, schema(queries[name]).replace(" COVERING INDEX ", " INDEX ")) for name, _ in shown]
    assert shown == run


async def test_media_on_its_way_is_told_from_warm_media(open_sqlite: OpenStore, path: str) -> None:
    async with open_sqlite() as store:
        await push_one(store, photo())
        assert await store.find("bot", Kind.PHOTO, r2_key="a.jpg") is None
        await claim_one(store, "job-1")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT status FROM media_cache").fetchall() == [("warming",)]
    connection.close()


async def test_an_objects_known_digest_is_kept_while_the_object_is_the_same(open_sqlite: OpenStore, path: str) -> None:
    async with open_sqlite() as store:
        for number, (etag, sha256) in enumerate([("e1", DIGEST), ("e1", None), ("e2", None)]):
            claim = await start(store, photo("a.jpg", destination=f"bot-{number}"))
            seen = SeenObject("a.jpg", 1234, etag, None, sha256)
            assert await store.settle([Done(claim.lease, {"file_id": "f"}, seen)]) == [True]
            with closing(sqlite3.connect(path)) as connection:
                told = connection.execute("SELECT etag, sha256 FROM media_store").fetchall()
            assert told == [(etag, DIGEST if etag == "e1" else None)]


async def test_warm_records_outlive_the_migrations_that_came_after_them(open_sqlite: OpenStore, path: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at REAL NOT NULL)")
        connection.execute("INSERT INTO schema_migrations VALUES (1, 0)")
        connection.executescript((BACKLOG / "sqlite" / "sql" / "0001_initial.sql").read_text(encoding="utf-8"))
        record = ("bot", "photo", "key:a.jpg", "ready", "a.jpg", DIGEST, 1234, '{"file_id": "old"}', "job-0", 5.0)
        connection.execute("INSERT INTO media_cache VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", record)
        connection.commit()
    async with open_sqlite() as store:
        found = await store.find("bot", Kind.PHOTO, sha256=DIGEST)
        assert found is not None
        assert (found.result["file_id"], found.bytes, found.warmed_at) == ("old", 1234, 5.0)
