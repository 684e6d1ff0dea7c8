"""What everybody pays for if a paused bucket makes the dispatcher spin, and what a user loses if it waits too long."""

from __future__ import annotations

import pytest
import trio

from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.model import Kind, NewJob
from streamwarm.send.destination import UNLIMITED
from tests.worlds.dispatcher import DIGEST, world

PAUSE = Pause(None, "SignatureDoesNotMatch", by=PausedBy.SOURCE)


def jobs(*keys: str) -> list[NewJob]:
    return [NewJob("mybot", Kind.VIDEO, key) for key in keys]


async def test_a_paused_bucket_hands_out_cached_objects_alone(autojump_clock: trio.abc.Clock) -> None:
    async with world(cached=["warm.mp4"]) as w:
        w.dispatcher.limits.source_pause = PAUSE
        await w.store.push(jobs("cold.mp4", "warm.mp4"))
        w.dispatcher.wake()
        assert (await w.next_job()).r2_key == "warm.mp4"
        w.dispatcher.idle()
        with trio.move_on_after(60) as nothing_else:
            await w.claims.receive()
        assert nothing_else.cancelled_caught
        w.dispatcher.limits.source_pause = None
        w.dispatcher.wake()
        assert (await w.claims.receive()).job.r2_key == "cold.mp4"


async def test_a_pause_that_begins_behind_a_loaded_queue_stops_it_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with world() as w:
        await w.store.push(jobs(*(f"{number}.mp4" for number in range(20))))
        w.dispatcher.wake()
        await w.next_job()
        w.dispatcher.limits.source_pause = PAUSE
        w.dispatcher.idle()
        with trio.move_on_after(60) as nothing:
            await w.claims.receive()
        assert nothing.cancelled_caught


async def test_pushes_to_a_paused_bucket_cost_few_reads_of_the_store(autojump_clock: trio.abc.Clock) -> None:
    async with world() as w:
        w.dispatcher.limits.source_pause = PAUSE
        w.dispatcher.idle()
        started_at = trio.current_time()
        for number in range(500):
            await w.store.push(jobs(f"{number}.mp4"))
            w.dispatcher.note_queued(f"of-another-process-{number}")
            await trio.sleep(0.01)
        assert w.failing.calls["queued"] <= 3 + (trio.current_time() - started_at) / 0.1


async def test_a_cached_object_is_sent_however_many_other_jobs_are_before_it(autojump_clock: trio.abc.Clock) -> None:
    async with world(cached=["warm.mp4"], max_queue=10) as w:
        w.dispatcher.limits.source_pause = PAUSE
        await w.store.push(jobs(*(f"{number}.mp4" for number in range(500)), "warm.mp4"))
        w.dispatcher.wake()
        with trio.fail_after(5):
            assert (await w.next_job()).r2_key == "warm.mp4"


async def test_a_copy_serves_jobs_by_its_digest_too_but_no_job_that_names_another(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with world(cached=["warm.mp4"]) as w:
        w.dispatcher.limits.source_pause = PAUSE
        other = NewJob("mybot", Kind.VIDEO, "warm.mp4", sha256="cd" * 32)
        same = NewJob("mybot", Kind.VIDEO, "warm.mp4", sha256=DIGEST)
        await w.store.push([other, same])
        w.dispatcher.wake()
        assert (await w.next_job()).sha256 == DIGEST
        w.dispatcher.idle()
        with trio.move_on_after(60) as nothing_else:
            await w.claims.receive()
        assert nothing_else.cancelled_caught


async def test_more_copies_than_one_look_takes_are_all_found(autojump_clock: trio.abc.Clock) -> None:
    keys = [f"warm-{number}.mp4" for number in range(40)]
    rates = {f"bot-{number}": UNLIMITED for number in range(100)}
    async with world(cached=keys, rates=rates) as w:
        w.dispatcher.limits.source_pause = PAUSE
        await w.store.push([NewJob("bot-7", Kind.VIDEO, key) for key in keys])
        w.dispatcher.wake()
        with trio.fail_after(20):
            assert {(await w.next_job()).r2_key for _ in keys} == set(keys)


@pytest.mark.parametrize("who", ["source", "destination", "service"])
async def test_a_pause_does_not_count_towards_the_wait_after_which_a_job_goes_first(
    who: str, autojump_clock: trio.abc.Clock
) -> None:
    """A video waits through a long pause. A photo that is pushed after it still goes first."""
    async with world() as w:
        await w.push("old.mp4", Kind.VIDEO)
        limits = w.dispatcher.limits
        by_user = Pause(None, "paused by a user", by=PausedBy.USER)
        if who == "source":
            limits.source_pause = PAUSE
        else:
            limits.replace_user_pauses({"bot-a" if who == "destination" else None: by_user})
        w.dispatcher.wake()
        await trio.sleep(2000)
        limits.source_pause = None
        limits.replace_user_pauses({})
        w.dispatcher.wake()
        await w.push("new.jpg", Kind.PHOTO)
        assert (await w.next_job()).r2_key == "new.jpg"
        await trio.sleep(900)
        await w.push("newer.jpg", Kind.PHOTO)
        assert (await w.next_job()).r2_key == "old.mp4"
