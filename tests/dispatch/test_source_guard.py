"""What a user loses if one fact about a bucket is charged to every job: thousands of jobs failed within seconds."""

from __future__ import annotations

from itertools import pairwise

import trio

from streamwarm.dispatch.source_guard import LEASE_S
from streamwarm.dispatch.source_health import PROBE_S
from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.watch.observations import SourcePaused, SourceResumed
from tests.worlds.failing_store import memory_store
from tests.worlds.source_guard import Bucket, Process, passing, process, refused, running


async def test_a_refused_key_pauses_the_bucket_and_is_no_jobs_fault(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        one = process(store, Bucket(refused()))
        assert await one.guard.is_of_the_bucket(refused())
        assert one.paused == "SignatureDoesNotMatch"
        shared = (await store.shared_limits()).source
        assert shared is not None
        assert shared.reason == "SignatureDoesNotMatch"
        assert [type(seen) for seen in one.observed] == [SourcePaused]


async def test_passing_trouble_is_charged_only_if_the_bucket_itself_is_well(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket()
        one = process(store, bucket)
        assert not await one.guard.is_of_the_bucket(passing())
        assert one.paused is None
        await trio.sleep(1)
        bucket.error = passing()
        assert await one.guard.is_of_the_bucket(passing())
        assert one.paused == "503"


async def test_one_odd_object_whose_refusal_sounds_like_the_buckets_stops_no_other(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with memory_store() as store:
        one = process(store, Bucket())
        error = refused()
        error.decide(is_of_the_bucket=await one.guard.is_of_the_bucket(error))
        assert one.paused is None
        assert (error.counts, error.permanent) == (True, False)


async def test_a_users_resume_during_a_probe_is_not_missed(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(refused(), takes_s=5.0)
        one = process(store, bucket)
        async with running(one):
            await one.guard.is_of_the_bucket(refused())
            await trio.sleep(PROBE_S + 2)  # a probe is under way
            assert len(bucket.probed_at) == 2
            await store.resume(None)
            await one.follow()
            await trio.sleep(4)  # it has failed
            bucket.error = None
            await trio.sleep(5)
            assert one.paused is None


async def test_what_is_wrong_with_the_object_costs_no_probe(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(refused())
        one = process(store, bucket)
        assert not await one.guard.is_of_the_bucket(SourceError(ErrorCode.SOURCE_NOT_FOUND, "404"))
        assert bucket.probed_at == []


async def test_five_workers_that_fail_together_cost_one_probe(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(passing(), takes_s=1.0)
        one = process(store, bucket)
        answers: list[bool] = []

        async def fail() -> None:
            answers.append(await one.guard.is_of_the_bucket(passing()))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(fail)
        assert answers == [True] * 5
        assert len(bucket.probed_at) == 1
        assert len(one.observed) == 1


async def test_work_goes_on_by_itself_within_a_minute_of_the_keys_repair(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(refused())
        one = process(store, bucket)
        async with running(one):
            await one.guard.is_of_the_bucket(refused())
            await trio.sleep(10 * PROBE_S + 1)
            assert 10 <= len(bucket.probed_at) <= 12
            bucket.error = None
            await trio.sleep(PROBE_S)
            assert one.paused is None
            assert (await store.shared_limits()).source is None
            assert isinstance(one.observed[-1], SourceResumed)


async def test_a_second_of_trouble_costs_seconds_and_not_a_minute(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(passing())
        one = process(store, bucket)
        async with running(one):
            await one.guard.is_of_the_bucket(passing())
            await trio.sleep(1)
            bucket.error = None
            await trio.sleep(3)
            assert one.paused is None


async def test_a_user_who_resumes_the_service_has_the_bucket_probed_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(refused())
        one = process(store, bucket)
        async with running(one):
            await one.guard.is_of_the_bucket(refused())
            await trio.sleep(1)
            bucket.error = None
            await store.resume(None)
            await one.follow()
            await trio.sleep(0.1)
            assert one.paused is None


async def test_one_process_probes_for_all_and_another_takes_over_if_it_dies(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(refused())
        one, other = process(store, bucket, "one", of=2), process(store, bucket, "other", of=2)
        async with running(other):
            async with running(one):
                await other.follow()
                await one.guard.is_of_the_bucket(refused())
                await other.follow()
                assert other.paused == one.paused
                await trio.sleep(10 * PROBE_S)
                assert 9 <= len(bucket.probed_at) <= 11
                gaps = [late - early for early, late in pairwise(bucket.probed_at)]
                assert min(gaps) >= PROBE_S
            bucket.error = None  # and the first process is gone
            await trio.sleep(LEASE_S + 2 * PROBE_S)
            assert other.paused is None
        restarted = process(store, bucket, "three")
        await restarted.follow()
        assert restarted.paused is None


async def test_one_host_with_a_wrong_clock_stops_no_other_for_long(autojump_clock: trio.abc.Clock) -> None:
    """Its own findings hold for itself alone, once another host can read the bucket."""
    async with memory_store() as store:
        ill = process(store, Bucket(refused()), "ill", of=2)
        well = process(store, Bucket(), "well", of=2)

        async def follow(one: Process) -> None:
            while True:
                await one.follow()
                await trio.sleep(2)

        async with running(ill), running(well), trio.open_nursery() as following:
            following.start_soon(follow, ill)
            following.start_soon(follow, well)
            await ill.guard.is_of_the_bucket(refused())
            await trio.sleep(1.5 * PROBE_S)
            assert well.paused is None
            await trio.sleep(10 * PROBE_S)
            assert well.paused is None
            assert ill.paused is not None
            assert sum(isinstance(seen, SourcePaused) for seen in well.observed) <= 1
            ill.guard.source.error = None  # type: ignore[attr-defined]
            await trio.sleep(1.5 * PROBE_S)
            assert ill.paused is None
            following.cancel_scope.cancel()


async def test_no_secret_that_a_server_quotes_is_shown_or_stored(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        error = SourceError(ErrorCode.SOURCE_REFUSED, "you sent canary-key", permanent=False, blame=Blame.BUCKET)
        one = process(store, Bucket(error))
        one.guard.redact = lambda text: text.replace("canary-key", "***")
        await one.guard.is_of_the_bucket(error)
        shared = (await store.shared_limits()).source
        assert shared is not None
        assert "canary" not in f"{shared} {one.paused} {one.observed}"


async def test_a_restart_with_the_right_key_goes_on_at_once(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        killed = process(store, Bucket(refused()), "killed")
        async with running(killed):
            await killed.guard.is_of_the_bucket(refused())
            await trio.sleep(2)  # it holds the lease, and dies
        restarted = process(store, Bucket(), "restarted")
        await restarted.follow()
        assert restarted.paused is not None
        async with running(restarted):
            await trio.sleep(1)
            assert restarted.paused is None


async def test_a_user_who_resumes_need_not_wait_for_a_dead_processs_lease(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        bucket = Bucket(refused())
        killed, other = process(store, bucket, "killed"), process(store, bucket, "other")
        async with running(other):
            async with running(killed):
                await killed.guard.is_of_the_bucket(refused())
                await other.follow()
                await trio.sleep(2)
            bucket.error = None
            await store.resume(None)
            await other.follow()
            await trio.sleep(1)
            assert other.paused is None


async def test_a_process_that_starts_in_the_pause_keeps_it(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        await process(store, Bucket(refused())).guard.is_of_the_bucket(refused())
        late = process(store, Bucket(refused()), "late")
        await late.follow()
        assert late.paused == "SignatureDoesNotMatch"


async def test_a_read_from_before_a_change_does_not_undo_it(autojump_clock: trio.abc.Clock) -> None:
    async with memory_store() as store:
        one = process(store, Bucket(refused()))
        read_at, old = trio.current_time(), await store.shared_limits()
        await trio.sleep(1)
        await one.guard.is_of_the_bucket(refused())
        assert not one.guard.follow(old, read_at)
        assert one.paused is not None
