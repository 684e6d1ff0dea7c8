"""Every test that asks for `store` runs over each implementation; `clock` is the stores' own time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.postgres.store import open_postgres_store
from streamwarm.backlog.sqlite.store import open_sqlite_store
from streamwarm.backlog.store import Store
from tests.worlds.backlog import IN_THREADS, LIMITS, OVER_SOCKETS, Clock, OpenStore, numbered
from tests.worlds.postgres import PostgresServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts() -> dict[str, str]:
    """The accounts of `store`, by destination. A test that changes one has configured another bot."""
    return {"bot": "1"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "backlog.db")


@pytest.fixture
def open_sqlite(path: str, clock: Clock) -> OpenStore:
    """A function that opens the store in the file at `path`. It may be called several times."""

    new_token = numbered("token-")  # one for all stores: a token also names a process

    def open_store(limits: StoreBounds = LIMITS, **more: object) -> AbstractAsyncContextManager[Store]:
        arguments = {"limits": limits, "now": clock, "new_id": numbered("job-"), "new_token": new_token}
        return open_sqlite_store(path, **{**arguments, **IN_THREADS, **more})

    return open_store


@pytest.fixture
def open_postgres(postgres_server: PostgresServer, clock: Clock) -> OpenStore:
    """A function that opens the store in a schema of this test's own. It may be called several times."""
    url = postgres_server.new_schema()
    new_token = numbered("token-")  # one for all stores: a token also names a process

    def open_store(limits: StoreBounds = LIMITS, **more: object) -> AbstractAsyncContextManager[Store]:
        arguments = {"limits": limits, "now": clock, "new_id": numbered("job-"), "new_token": new_token}
        return open_postgres_store(url, **{**arguments, **OVER_SOCKETS, **more})

    return open_store


@pytest.fixture(params=["sqlite", "postgres", "memory"])
async def store(request: pytest.FixtureRequest, clock: Clock, accounts: dict[str, str]) -> AsyncIterator[Store]:
    if request.param in {"sqlite", "postgres"}:
        async with request.getfixturevalue(f"open_{request.param}")(accounts=accounts) as opened:
            yield opened
    else:
        arguments = {"limits": LIMITS, "now": clock, "accounts": accounts}
        async with open_memory_store(**arguments, new_id=numbered("job-"), new_token=numbered("token-")) as opened:
            yield opened
