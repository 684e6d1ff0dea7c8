"""Every test that asks for `store` runs over each implementation; `clock` is the stores' own time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from backlog_helpers import LIMITS, Clock, OpenStore, numbered

from streamwarm.backlog.limits import StoreLimits
from streamwarm.backlog.memory import open_memory_store
from streamwarm.backlog.sqlite import open_sqlite_store
from streamwarm.backlog.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "backlog.db")


@pytest.fixture
def open_sqlite(path: str, clock: Clock) -> OpenStore:
    """Opens the store in the file at `path`, as often as it is called."""

    def open_store(limits: StoreLimits = LIMITS, **more: object) -> AbstractAsyncContextManager[Store]:
        return open_sqlite_store(
            path, limits=limits, now=clock, new_id=numbered("job-"), new_token=numbered("token-"), **more
        )

    return open_store


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, open_sqlite: OpenStore, clock: Clock) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        async with open_sqlite() as opened:
            yield opened
    else:
        new_id, new_token = numbered("job-"), numbered("token-")
        async with open_memory_store(limits=LIMITS, now=clock, new_id=new_id, new_token=new_token) as opened:
            yield opened
