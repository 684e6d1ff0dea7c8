"""A store of the version before: nothing that it knew is lost, nothing is made up, and it opens whatever is in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from streamwarm.backlog import queries
from streamwarm.backlog.postgres import server
from streamwarm.backlog.records import RecordFilter
from streamwarm.backlog.sqlite import file
from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Kind, SourceState, WarmRecord
from tests.worlds.backlog import OpenStore
from tests.worlds.old_stores import D1, D2, LAST_OLD, old_postgres, old_sqlite
from tests.worlds.postgres import PostgresServer
from tests.worlds.records import counted, recounted

ACCOUNTS = {"accounts": {"bot": "1"}}


@pytest.fixture(params=["sqlite", "postgres"])
def old(request: pytest.FixtureRequest, path: str) -> tuple[str, OpenStore, Callable[[], int]]:
    """The database, what opens it, and what migrates it."""
    if request.param == "sqlite":
        old_sqlite(path)
        return "sqlite", request.getfixturevalue("open_sqlite"), lambda: file.migrate(path)
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    opened: OpenStore = request.getfixturevalue("open_postgres")
    url = f"{postgres.uri}&options=-csearch_path%3D{postgres.last_schema}"
    old_postgres(url)
    return "postgres", opened, lambda: server.migrate(url)


async def find(store: Store, key: str, kind: Kind = Kind.PHOTO) -> WarmRecord:
    found = await store.find("bot", kind, r2_key=key)
    assert found is not None, key
    return found


async def test_everything_that_was_warm_is_found_once_its_account_is_known(old: Any) -> None:
    _, open_store, _ = old
    async with open_store(**ACCOUNTS) as store:
        assert await store.adopt_accounts() == 14
        plain = await find(store, "plain")
        assert (plain.result, plain.source_etag, plain.sha256) == ({"file_id": "plain"}, "e-plain", D1)
        assert (plain.opened_at, plain.checked_at, plain.warmed_at) == (100.0, 100.0, 100.0)
        assert (plain.account, plain.options, plain.source_state) == ("1", {"caption": "x"}, SourceState.CURRENT)
        assert (await find(store, "twice")).result["file_id"] == "new"
        assert (await find(store, "alike")).result["file_id"] == "alike-new"
        handoff = await find(store, "handoff")
        assert (handoff.sha256, handoff.source_etag) == (None, "e-handoff")
        older = await store.find("bot", Kind.PHOTO, sha256=D2)
        assert older is not None
        assert older.r2_key == "twice"


async def test_an_etag_of_another_version_vouches_for_nothing(old: Any) -> None:
    _, open_store, _ = old
    async with open_store(**ACCOUNTS) as store:
        await store.adopt_accounts()
        assert (await find(store, "quoted")).source_etag == "e-weak"
        moved = await find(store, "moved")
        assert (moved.source_etag, moved.checked_at) == (None, None)


async def test_large_videos_whose_jobs_named_no_size_are_said_to_have_none(old: Any) -> None:
    _, open_store, _ = old
    async with open_store(**ACCOUNTS) as store:
        await store.adopt_accounts()
        for key, flat in {"flat": True, "pruned": True, "options": True, "array": True, "sized": False}.items():
            found = await find(store, key, Kind.VIDEO)
            assert found.result["file_id"] == key
            assert found.result.get("warnings") == (["no_dimensions"] if flat else None), key
        listed = await store.records(RecordFilter(warning="no_dimensions"), limit=50)
        assert sorted(one.r2_key for one in listed.records) == ["array", "flat", "options", "pruned"]


async def test_a_damaged_row_costs_itself_alone(old: Any) -> None:
    _, open_store, _ = old
    async with open_store(**ACCOUNTS) as store:
        await store.adopt_accounts()
        assert await store.find("bot", Kind.VIDEO, r2_key="damaged") is None
        assert await store.find("bot", Kind.VIDEO, r2_key="listed") is None
        await store.survey()
        assert {row.table for row in store.new_odd_rows()} == {"media_cache", "jobs"}
        found = await recounted(store)
        assert await counted(store) == {key: number + 2 for key, number in found.items()}


async def test_another_account_of_an_old_store_gets_nothing(old: Any) -> None:
    _, open_store, _ = old
    async with open_store(**ACCOUNTS) as store:
        await store.adopt_accounts()
    async with open_store(accounts={"bot": "2"}) as store:
        assert await store.adopt_accounts() == 0
        assert await store.find("bot", Kind.PHOTO, r2_key="plain") is None


def test_hosts_that_migrate_at_once_do_it_once(old: Any) -> None:
    database, _, migrate = old
    ends: list[int | BaseException] = []

    def run() -> None:
        try:
            ends.append(migrate())
        except BaseException as error:
            ends.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [queries.load_migrations(database)[-1][0]] * 4


def test_an_older_program_is_refused_in_clear_words(old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    database, _, migrate = old
    newest = migrate()
    known = [one for one in queries.load_migrations(database) if one[0] <= LAST_OLD[database]]
    module = file if database == "sqlite" else server
    monkeypatch.setattr(module, "load_migrations", lambda _: known)
    with pytest.raises(StoreUnavailable, match=f"has schema version {newest}, .* no later one than {known[-1][0]};"):
        migrate()
