from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest
import trio

from streamwarm.accept.intake import Intake
from streamwarm.accept.wire.record_requests import ForgetRecord, Lookup
from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.accept.wire.requests import ChangeJobs, ListJobs, PauseSending, ResumeSending
from streamwarm.backlog.store import Action, Filter
from streamwarm.errors import StoreUnavailable
from streamwarm.model import Kind, State
from streamwarm.watch.observations import JobAdded, QueueFull, StoreTrouble
from tests.worlds.accept import RESULT, SHA256, StubBot, job, open_world

A = Lookup("mybot", Kind.VIDEO, r2_key="media/a.mp4")


async def test_one_bad_job_never_refuses_the_others_and_each_keeps_its_index() -> None:
    async with open_world() as world:
        answer = await world.intake.push([job("a"), 7, job("b"), job("c", kind="film"), job("d")])
        assert [(item["index"], item["id"]) for item in answer["accepted"]] == [
            (0, "job-1"),
            (2, "job-2"),
            (4, "job-3"),
        ]
        assert [(item["index"], item["code"]) for item in answer["rejected"]] == [
            (1, "invalid_job"),
            (3, "unknown_kind"),
        ]
        assert [added.r2_key for added in world.saw(JobAdded)] == ["a", "b", "d"]
        assert world.wakes


async def test_a_push_repeated_after_a_lost_reply_returns_the_same_jobs() -> None:
    async with open_world() as world:
        first = await world.intake.push([job(id="mine")])
        again = await world.intake.push([job(id="mine")])
        assert first["accepted"][0]["duplicate"] is False
        assert again["accepted"] == [{"index": 0, "id": "mine", "state": "queued", "duplicate": True}]
        assert len(world.saw(JobAdded)) == 1


async def test_warm_media_is_answered_at_once_with_its_reference() -> None:
    async with open_world() as world:
        await world.intake.push([job()])
        await world.warm("job-1")
        answer = await world.intake.push([job()])
        assert answer["accepted"][0] | {"id": ""} == {
            "index": 0,
            "id": "",
            "state": "done",
            "duplicate": True,
            "result": RESULT,
        }


async def test_an_id_used_for_another_job_is_a_conflict_of_that_job_alone() -> None:
    async with open_world() as world:
        await world.intake.push([job(id="mine")])
        answer = await world.intake.push([job("other", id="mine"), job("more")])
        assert [item["code"] for item in answer["rejected"]] == ["id_conflict"]
        assert [item["index"] for item in answer["accepted"]] == [1]


async def test_a_push_that_half_fits_keeps_the_half_that_does() -> None:
    async with open_world(max_pending=2) as world:
        answer = await world.intake.push([job(str(number)) for number in range(3)])
        assert len(answer["accepted"]) == 2
        assert [(item["index"], item["code"]) for item in answer["rejected"]] == [(2, "queue_full")]
        assert answer["rejected"][0]["retry_after_s"] > 0
        assert world.saw(QueueFull) == [QueueFull(1, 2)]


async def test_a_push_to_a_full_backlog_is_told_when_to_come_back() -> None:
    async with open_world(max_pending=1) as world:
        await world.intake.push([job("a")])
        with pytest.raises(CallRefusedError) as caught:
            await world.intake.push([job("b"), job("c")])
        assert caught.value.reason is Reason.QUEUE_FULL
        assert caught.value.retry_after_s is not None


async def test_a_full_backlog_hides_no_other_fault_of_a_push() -> None:
    async with open_world(max_pending=1) as world:
        await world.intake.push([job("a")])
        answer = await world.intake.push([job("b"), {}])
        assert [item["code"] for item in answer["rejected"]] == ["queue_full", "invalid_job"]
        assert ["retry_after_s" in item for item in answer["rejected"]] == [True, False]


async def test_an_empty_push_is_an_empty_answer() -> None:
    async with open_world() as world:
        assert await world.intake.push([]) == {"accepted": [], "rejected": []}
        assert not world.wakes


async def test_a_service_that_drains_takes_no_jobs_and_still_answers() -> None:
    async with open_world() as world:
        await world.intake.push([job()])
        world.intake.drain(30)
        with pytest.raises(CallRefusedError) as caught:
            await world.intake.push([job("b")])
        assert caught.value.reason is Reason.DRAINING
        assert (await world.intake.get("job-1"))["state"] == "queued"


async def test_a_job_can_be_seen_listed_cancelled_and_retried() -> None:
    async with open_world() as world:
        await world.intake.push([job("a"), job("b")])
        view = await world.intake.get("job-1")
        assert view["created_at"].endswith("Z")
        assert "result" not in view
        page = await world.intake.list_jobs(ListJobs(Filter(), limit=1))
        assert [item["id"] for item in page["jobs"]] == ["job-2"]
        rest = await world.intake.list_jobs(ListJobs(Filter(), limit=1, after=page["next"]))
        assert [item["id"] for item in rest["jobs"]] == ["job-1"]
        assert (await world.intake.cancel("job-1"))["state"] == "cancelled"
        world.wakes.clear()
        assert (await world.intake.retry("job-1"))["state"] == "queued"
        assert world.wakes


async def test_an_unknown_job_is_not_found() -> None:
    async with open_world() as world:
        for method in (world.intake.get, world.intake.cancel, world.intake.retry):
            with pytest.raises(CallRefusedError) as caught:
                await method("nobody")
            assert caught.value.reason is Reason.NOT_FOUND


async def test_forgotten_media_is_cold_and_is_warmed_again_by_the_next_push() -> None:
    async with open_world() as world:
        await world.intake.push([job()])
        assert await world.intake.find(A) is None
        await world.warm("job-1")
        record = await world.intake.find(A)
        assert record is not None
        assert (record["result"], record["sha256"], record["job_id"]) == (RESULT, SHA256, "job-1")
        assert await world.intake.forget(ForgetRecord(A)) == {"forgotten": True}
        assert await world.intake.forget(ForgetRecord(A)) == {"forgotten": False}
        assert await world.intake.find(A) is None
        assert (await world.intake.push([job()]))["accepted"][0]["state"] is State.QUEUED


class BrokenStore:
    async def _fail(self, *_: object, **__: object) -> None:
        raise StoreUnavailable("cannot write /secret/path.db")

    push = get = find = list_jobs = cancel = retry = forget = change_all = change_each = _fail
    pause = resume = shared_limits = _fail


async def test_a_store_that_is_down_is_never_an_acknowledgement() -> None:
    observed: list[object] = []
    woken: list[None] = []

    async def stats() -> dict[str, object]:
        raise StoreUnavailable("down")

    intake = Intake(
        BrokenStore(),  # type: ignore[arg-type]
        {"mybot": StubBot()},
        max_pending=1,
        stats=stats,
        observe=observed.append,
        on_pushed=lambda _: woken.append(None),
        on_retried=lambda: woken.append(None),
        on_cancelled=lambda _: None,
        on_pauses=trio.lowlevel.checkpoint,
        now=time.time,
    )
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: intake.push([job()]),
        lambda: intake.get("a"),
        lambda: intake.find(A),
        lambda: intake.list_jobs(ListJobs(Filter())),
        lambda: intake.cancel("a"),
        lambda: intake.retry("a"),
        lambda: intake.forget(ForgetRecord(A)),
        lambda: intake.pause(PauseSending()),
        lambda: intake.change_jobs(ChangeJobs(Action.RETRY, ("a",))),
        lambda: intake.change_jobs(ChangeJobs(Action.CANCEL, None, Filter(State.QUEUED))),
        lambda: intake.resume(ResumeSending()),
        intake.stats,
    ]
    for call in calls:
        with pytest.raises(CallRefusedError) as caught:
            await call()
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert "secret" not in caught.value.message
    assert len(observed) == len(calls)
    assert all(isinstance(item, StoreTrouble) for item in observed)
    assert not woken
