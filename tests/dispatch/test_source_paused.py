"""What everybody pays for if a paused bucket makes the dispatcher spin, and what a user loses if it waits too long."""

from __future__ import annotations

import trio

from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.model import Kind, NewJob
from tests.worlds.dispatcher import world

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
