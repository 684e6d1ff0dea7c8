"""What a user loses if one missing object, a restart or a store that hangs decides whether a bucket can be read."""

from __future__ import annotations

import trio

from streamwarm.backlog.settlement import Done
from streamwarm.dispatch.source_health import PROBE_S
from streamwarm.errors import Blame, ErrorCode, SourceError, SourceOffline
from streamwarm.model import Kind, NewJob, SeenObject
from tests.worlds.failing_store import FailingStore, memory_store
from tests.worlds.source_guard import Bucket, passing, process, refused, running


def denied() -> SourceError:
    return SourceError(ErrorCode.SOURCE_REFUSED, "AccessDenied", blame=Blame.UNSURE)


async def test_a_missing_object_that_is_denied_stops_no_job_whose_object_is_there(
    autojump_clock: trio.abc.Clock,
) -> None:
    """A key that may not list gets 403 for a missing object, and nothing was ever read with it."""
    async with memory_store() as store:
        bucket = Bucket(denied(), readable=["there.mp4"])
        one = process(store, bucket)
        await store.push([NewJob("mybot", Kind.VIDEO, "there.mp4")])
        await store.push([NewJob("mybot", Kind.VIDEO, f"missing-{number}.mp4") for number in range(5)])
        async with running(one):
            assert await one.guard.is_of_the_bucket(denied())
            assert one.paused == "AccessDenied"
            await trio.sleep(2 * PROBE_S + 1)
            assert one.paused is None


async def test_a_restarted_service_knows_an_object_that_it_has_warmed(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        await store.push([NewJob("mybot", Kind.VIDEO, "warm.mp4")])
        (claim,) = await store.claim([job.id for job in await store.queued(1)])
        seen = SeenObject("warm.mp4", 5, '"e"', None, None)
        await store.settle([Done(claim.lease, {"file_id": "f"}, seen)])
        bucket = Bucket(denied(), readable=["warm.mp4"])
        assert not await process(store, bucket, "restarted").guard.is_of_the_bucket(denied())


async def test_a_store_that_hangs_delays_no_probe_for_long(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket()
        one = process(FailingStore(store, delay_s={"list_jobs": 1000.0}), bucket)
        started_at = trio.current_time()
        assert not await one.guard.is_of_the_bucket(passing())
        assert trio.current_time() < started_at + 5


async def test_a_pause_that_the_store_did_not_take_reaches_the_others_later(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        failing = FailingStore(store, failures={"pause_source": 1})
        one = process(failing, Bucket(refused()))
        async with running(one):
            assert await one.guard.is_of_the_bucket(refused())
            assert (await store.shared_limits()).source is None
            await trio.sleep(PROBE_S + 1)
            assert (await store.shared_limits()).source is not None


async def test_an_object_that_was_not_asked_for_in_a_pause_costs_its_job_nothing(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with memory_store() as store:
        bucket = Bucket()
        error = SourceOffline("a.mp4")
        error.decide(is_of_the_bucket=await process(store, bucket).guard.is_of_the_bucket(error))
        assert (error.counts, error.permanent) == (False, False)
        assert bucket.probed_at == []
