"""During a rolling upgrade, a host of this version runs beside one that knows a code more. It must outlive that, and
pass the code on as it is."""

from __future__ import annotations

import json

import pytest

from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.views import attempts_view, event_view, job_view
from streamwarm.backlog.settlement import Failed
from streamwarm.backlog.store import Filter
from streamwarm.errors import ErrorCode, UnreadableRow, code_of, is_listed
from streamwarm.model import State
from tests.worlds.backlog import TIMED_OUT, OpenStore, claim_one, done, photo, push_one, start
from tests.worlds.damage import Run, on_postgres, on_sqlite
from tests.worlds.postgres import PostgresServer

NEWER = (
    "UPDATE jobs SET kind = 'hologram', options = '{\"depth\": 3}' WHERE id = 'hologram'",
    "UPDATE jobs SET error_code = 'quota_exceeded', error_message = 'over the quota' WHERE id = 'failed'",
    "UPDATE events SET error_code = 'quota_exceeded' WHERE job_id = 'failed' AND state = 'failed'",
    "UPDATE attempts SET outcome = 'deferred', error_code = 'quota_exceeded' WHERE job_id = 'failed'",
    "UPDATE events SET kind = 'hologram', state = 'parked' WHERE job_id = 'hologram'",
)
"""What a newer host has written into the rows of three jobs."""


@pytest.fixture(params=["sqlite", "postgres"])
def newer(request: pytest.FixtureRequest, path: str) -> tuple[OpenStore, Run]:
    if request.param == "sqlite":
        return request.getfixturevalue("open_sqlite"), on_sqlite(path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    opened: OpenStore = request.getfixturevalue("open_postgres")
    return opened, on_postgres(f"{server.uri}&options=-csearch_path%3D{server.last_schema}")


async def test_codes_of_a_newer_host_are_passed_on_and_its_jobs_left_to_it(newer: tuple[OpenStore, Run]) -> None:
    open_store, run = newer
    async with open_store() as store:
        claim = await start(store, photo("failed.jpg", id="failed"))
        await store.settle([Failed(claim.lease, TIMED_OUT)])
        await push_one(store, photo("hologram.jpg", id="hologram"))
        await push_one(store, photo("plain.jpg", id="plain"))
        for statement in NEWER:
            run(statement)
    async with open_store() as store:
        assert [job.id for job in await store.queued(10)] == ["plain"]
        assert [claim.job.id for claim in await store.claim(["hologram"])] == []
        assert await store.settle([done(await claim_one(store, "plain"))]) == [True]

        shown = {
            job.id: json.loads(json_text(job_view(job))) for job in (await store.list_jobs(Filter(), limit=9)).jobs
        }
        assert shown["hologram"]["kind"] == "hologram"
        assert shown["hologram"]["options"] == {"depth": 3}
        assert shown["failed"]["error"]["code"] == "quota_exceeded"
        events = [json.loads(json_text(event_view(event))) for event in await store.events_after(0, limit=50)]
        assert {"parked", "queued", "failed", "done"} <= {event["state"] for event in events}
        assert [event["error"]["code"] for event in events if "error" in event] == ["quota_exceeded"]
        attempts = await store.attempts("failed")
        assert attempts is not None
        (attempt,) = attempts_view(attempts)["attempts"]
        assert (attempt["outcome"], attempt["error"]["code"]) == ("deferred", "quota_exceeded")

        (named,) = store.new_odd_rows()
        assert (named.table, named.key) == ("jobs", "id='hologram'")
        again = await store.retry("failed")
        assert again is not None
        assert again.state is State.QUEUED
        cancelled = await store.cancel("hologram")
        assert cancelled is not None
        assert cancelled.state is State.CANCELLED


async def test_a_state_of_a_newer_version_is_left_alone(open_sqlite: OpenStore, path: str) -> None:
    async with open_sqlite() as store:
        await push_one(store, photo(id="parked"))
        on_sqlite(path)("UPDATE jobs SET state = 'parked' WHERE id = 'parked'")
        for change in (store.cancel, store.retry, store.get):
            job = await change("parked")
            assert job is not None
            assert job.state == "parked"
        assert (await store.counts()).by_state[code_of(State, "parked")] == 1
        await store.rescue(everything=True)
        assert await store.claim(["parked"]) == []
        assert [job.id for job in (await store.list_jobs(Filter(), limit=5)).jobs] == ["parked"]


async def test_a_row_that_cannot_be_read_is_named_to_whoever_asks_for_it(open_sqlite: OpenStore, path: str) -> None:
    async with open_sqlite() as store:
        await push_one(store, photo(id="broken"))
        on_sqlite(path)("UPDATE jobs SET options = '{' WHERE id = 'broken'")
        for ask in (store.get, store.attempts, store.cancel, store.retry):
            with pytest.raises(UnreadableRow, match="the row id='broken' of jobs cannot be read: options has damaged"):
                await ask("broken")
        assert store.odd_rows() == 1
        on_sqlite(path)("UPDATE jobs SET options = '{}' WHERE id = 'broken'")
        assert await store.get("broken") is not None
        assert store.odd_rows() == 0
        assert [job.id for job in await store.queued(5)] == ["broken"]


def test_an_unlisted_code_is_equal_to_its_text_and_to_itself_alone() -> None:
    newer = code_of(ErrorCode, "quota_exceeded")
    assert newer == code_of(ErrorCode, "quota_exceeded") == "quota_exceeded"
    assert (newer.value, str(newer), is_listed(newer)) == ("quota_exceeded", "quota_exceeded", False)
    assert newer not in list(ErrorCode)
    assert code_of(ErrorCode, "timeout") is ErrorCode.TIMEOUT
