"""`pause` and `resume` over both interfaces: what an operator loses if a typo, a past time or a restart undoes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from streamwarm.backlog.settlement import Retry
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import State
from streamwarm.watch.observations import PausedByUser, ResumedByUser
from tests.worlds.accept_clients import open_both
from tests.worlds.backlog import photo, start

STATS = {"queue": {"queued": 0}}


async def test_an_operator_pauses_and_resumes_over_both_interfaces() -> None:
    soon = time.time() + 3600
    text = datetime.fromtimestamp(soon, UTC).isoformat()
    async with open_both() as (world, client, web):
        assert await client.call("pause") == STATS
        assert await client.call("pause", destination="mybot", until=soon) == STATS
        assert [(p.destination, p.until) for p in world.obeyed] == [(None, None), ("mybot", soon)]
        assert (await web.post("/v1/pause", json={"destination": "mybot", "until": text})).json() == STATS
        assert world.obeyed[1].until == pytest.approx(soon, abs=1e-3)
        assert (await web.post("/v1/resume")).json() == STATS
        assert [p.destination for p in world.obeyed] == ["mybot"]
        assert await client.call("resume", destination="mybot") == STATS
    assert world.obeyed == []
    assert world.mended == ["mybot"]
    assert [p.destination for p in world.saw(PausedByUser)] == [None, "mybot", "mybot"]
    assert [p.destination for p in world.saw(ResumedByUser)] == [None, "mybot"]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"until": 1.0}, "in the past"),
        ({"until": "2001-01-01T00:00:00Z"}, "in the past"),
        ({"until": "tomorrow"}, "RFC 3339"),
        ({"until": "2030-01-01"}, "RFC 3339"),
        ({"until": "2030-01-01T00:00:00"}, "RFC 3339"),
        ({"until": "2030-13-01T00:00:00Z"}, "RFC 3339"),
        ({"until": "9999-12-31T23:59:59-23:59"}, "RFC 3339"),
        ({"until": True}, "Unix seconds"),
        ({"until": 1e300}, "Unix seconds"),
        ({"until": -5}, "Unix seconds"),
        ({"until": []}, "Unix seconds"),
        ({"destination": 7}, "destination"),
        ({"destination": ""}, "destination"),
        ({"destinations": "mybot"}, "unknown key"),
    ],
)
async def test_a_pause_that_cannot_be_meant_changes_nothing(params: dict[str, Any], named: str) -> None:
    async with open_both() as (world, client, web):
        error = (await client.call("pause", **params))["error"]
        assert error["code"] == -32602
        assert named in error["message"]
        answer = await web.post("/v1/pause", json=params)
        assert answer.status_code == 400
        assert named in answer.json()["detail"]
        assert (await world.store.shared_limits()).pauses == []


async def test_a_destination_that_does_not_exist_is_told_with_those_that_do() -> None:
    async with open_both() as (world, client, web):
        for method in ("pause", "resume"):
            error = (await client.call(method, destination="mybto"))["error"]
            assert error["code"] == -32002
            assert "mybot" in error["message"]
            assert (await web.post(f"/v1/{method}", json={"destination": "mybto"})).status_code == 404
        # A destination that is no longer configured can still be resumed.
        await world.store.pause("gone", None)
        assert await client.call("resume", destination="gone") == STATS
        assert (await world.store.shared_limits()).pauses == []


async def test_resume_takes_a_time_as_pause_does_and_acts_at_once() -> None:
    async with open_both() as (world, client, web):
        for until in (time.time() + 60, "2001-01-01T00:00:00Z", None):
            await world.store.pause(None, None)
            assert await client.call("resume", until=until) == STATS
            assert (await world.store.shared_limits()).pauses == []
            assert (await web.post("/v1/resume", json={"until": until})).status_code == 200
        assert (await client.call("resume", until="tomorrow"))["error"]["code"] == -32602


@pytest.mark.parametrize("named", ["mybot", None])
async def test_what_waits_for_another_attempt_goes_on_at_once_when_its_cause_is_fixed(named: str | None) -> None:
    """A job that met a revoked token waited five minutes more after the token was replaced."""
    async with open_both() as (world, client, _):
        claims = [await start(world.store, photo(destination=name)) for name in ("mybot", "other")]
        error = JobError(ErrorCode.UNAUTHORIZED, "revoked", permanent=False)
        await world.store.settle([Retry(claim.lease, error, time.time() + 300, counts=False) for claim in claims])
        await client.call("resume", **({"destination": named} if named else {}))
        jobs = [await world.store.get(claim.job.id) for claim in claims]
        assert [job and job.state for job in jobs] == [State.QUEUED, State.WAITING if named else State.QUEUED]
