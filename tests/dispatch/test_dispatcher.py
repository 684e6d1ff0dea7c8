"""What users lose without these: small files first, a 429 that stops only its own bot."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Kind
from streamwarm.send.destination import Quota, Rates
from streamwarm.watch.observations import DestinationPaused, QueueReordered
from tests.worlds.dispatcher import world
from tests.worlds.failing_store import now


async def test_a_small_photo_pushed_last_is_sent_first(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("old.bin")
        await w.push("film.mp4", Kind.VIDEO)
        assert (await w.next_job()).r2_key == "old.bin"
        await w.push("face.jpg", Kind.PHOTO)
        await trio.sleep(1)
        assert (await w.next_job()).r2_key == "face.jpg"
        assert (await w.next_job()).r2_key == "film.mp4"


@pytest.mark.parametrize(("waited_s", "reported"), [(59.0, []), (60.5, [2]), (601.0, [2])])
async def test_jobs_whose_score_changed_with_their_age_are_told(
    waited_s: float, reported: list[int], autojump_clock: MockClock
) -> None:
    async with world() as w:
        for key in ("1.bin", "2.bin", "3.bin"):
            await w.push(key)
        await w.next_job()
        await trio.sleep(waited_s)
        await w.next_job()
        assert [o.jobs for o in w.observed if isinstance(o, QueueReordered)] == reported


async def test_a_worker_that_waits_gets_a_job_as_soon_as_it_is_pushed(autojump_clock: MockClock) -> None:
    async with world() as w:
        w.dispatcher.idle()
        await trio.sleep(100.05)
        pushed_at = trio.current_time()
        await w.push("new.bin")
        assert (await w.claims.receive()).job.r2_key == "new.bin"
        assert trio.current_time() - pushed_at < 0.2


async def test_a_paused_destination_is_passed_over_and_resumes_by_itself(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("limited.jpg", Kind.PHOTO, "bot-a")
        await w.push("film.mp4", Kind.VIDEO, "bot-b")
        await w.pause("bot-a", 30.0)
        paused_at = trio.current_time()
        assert [(o.destination, o.for_s) for o in w.observed if isinstance(o, DestinationPaused)] == [("bot-a", 30.0)]
        assert (await w.next_job()).r2_key == "film.mp4"
        assert trio.current_time() - paused_at < 1
        assert (await w.next_job()).r2_key == "limited.jpg"
        assert trio.current_time() - paused_at == pytest.approx(30, abs=0.2)


async def test_a_destination_paused_for_good_waits_for_a_person(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("held.jpg", Kind.PHOTO)
        await w.pause("bot-a", None)
        w.dispatcher.idle()
        with trio.move_on_after(600) as waited:
            await w.claims.receive()
        assert waited.cancelled_caught
        w.dispatcher.limits.resume("bot-a")
        w.dispatcher.wake()
        assert (await w.claims.receive()).job.r2_key == "held.jpg"


async def test_a_job_cancelled_while_it_was_held_costs_no_worker(autojump_clock: MockClock) -> None:
    async with world() as w:
        await w.push("first.bin")
        gone = await w.push("gone.bin")
        await w.push("last.bin")
        assert (await w.next_job()).r2_key == "first.bin"
        await w.store.cancel(gone)
        assert (await w.next_job()).r2_key == "last.bin"
        await w.push("later.bin")
        assert (await w.next_job()).r2_key == "later.bin"


async def test_a_bot_that_may_send_is_not_held_up_by_one_whose_jobs_fill_its_share_of_the_queue(
    autojump_clock: MockClock,
) -> None:
    limited = Rates(quotas=(Quota(1, 3_600.0),))
    async with world(max_queue=8, rates={"bot-a": limited}) as w:
        for number in range(20):
            await w.push(f"a{number}.bin", destination="bot-a")
            await w.push(f"b{number}.bin", destination="bot-b")
        started_at = trio.current_time()
        sent = [(await w.next_job()).destination for _ in range(21)]
        assert sent.count("bot-b") == 20
        assert trio.current_time() - started_at < 1


async def test_more_jobs_than_the_channel_holds_are_all_handed_out_and_in_order(autojump_clock: MockClock) -> None:
    async with world(max_queue=4) as w:
        ids = [await w.push(f"{number}.bin") for number in range(30)]
        assert [(await w.next_job()).id for _ in ids] == ids


async def test_jobs_pushed_for_a_paused_destination_take_no_room_and_wait_for_its_end(
    autojump_clock: MockClock,
) -> None:
    async with world(max_queue=4) as w:
        await w.pause("bot-a", 30.0)
        paused_at = trio.current_time()
        w.dispatcher.idle()
        await trio.sleep(1)
        held = [await w.push(f"held{number}.jpg", Kind.PHOTO) for number in range(4)]
        await trio.sleep(0.5)
        await w.push("film.mp4", Kind.VIDEO, "bot-b")
        assert (await w.claims.receive()).job.r2_key == "film.mp4"
        assert trio.current_time() - paused_at < 2
        assert (await w.next_job()).id == held[0]
        assert trio.current_time() - paused_at == pytest.approx(30, abs=0.2)


@pytest.mark.parametrize("set_back_s", [0, 3600])
async def test_a_refusal_that_a_resume_has_overtaken_pauses_nothing(
    set_back_s: float, autojump_clock: MockClock
) -> None:
    """A user has set a new token: an upload that began with the old one must not stop the bot for five minutes more.
    If the clock was set back since, nobody knows which came first."""
    revoked = DestinationError(ErrorCode.UNAUTHORIZED, "401", retry_after_s=300, counts=False, pauses_destination=True)
    async with world() as w:
        claims = []
        for key in ("before.jpg", "429.jpg", "after.jpg"):
            await w.push(key)
            await trio.sleep(1)
            if key == "after.jpg":
                w.dispatcher.limits.resume("bot-a", now() + set_back_s)
                await trio.sleep(1)
            w.dispatcher.idle()
            claims.append(await w.claims.receive())
        effect = w.dispatcher.pause(claims[0], revoked)
        assert effect.job_waits is False
        assert bool(w.dispatcher.limits.active(now())) is bool(set_back_s)
        limited = DestinationError(
            ErrorCode.RATE_LIMITED, "429", retry_after_s=30, counts=False, pauses_destination=True
        )
        w.dispatcher.pause(claims[1], limited)
        assert w.dispatcher.limits.free_at("bot-a") >= now() + 30
        w.dispatcher.pause(claims[2], revoked)
        assert w.dispatcher.limits.free_at("bot-a") == now() + 300
