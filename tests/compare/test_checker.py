"""What a user loses if objects are compared too seldom, too often, or with the wrong moment."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from streamwarm.backlog.settlement import Done
from streamwarm.backlog.store import Pushed
from streamwarm.compare.checker import most_at_once
from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.source import ObjectVersion
from streamwarm.model import Kind, NewJob, SeenObject, SourceState, State
from streamwarm.watch.record_news import JobMissing, JobsUnchanged
from tests.worlds.comparing import World, open_world


async def warmed(w: World, *r2_keys: str) -> None:
    for r2_key in r2_keys:
        w.bucket.etags[r2_key] = "one"
        await w.warm(r2_key, "one", f"file-of-{r2_key}")
    await trio.sleep(1)


async def test_two_hundred_jobs_of_one_key_cost_one_request(autojump_clock: MockClock) -> None:
    async with open_world() as w:
        await warmed(w, "a")
        jobs = {job for _ in range(200) for job in await w.push("a")}
        await trio.sleep(1)
        assert w.bucket.asked == ["a"]
        assert [(await w.job(job)).state for job in jobs] == [State.DONE]
        assert w.expected == list(jobs)  # one event follows, however many pushes have joined


async def test_a_push_that_came_after_the_bucket_was_asked_is_not_answered_by_that(autojump_clock: MockClock) -> None:
    async with open_world() as w:
        await warmed(w, "a")
        await w.push("a")
        await trio.sleep(0.01)  # the bucket has answered, and the answer is under way
        w.bucket.etags["a"] = "two"
        [job] = await w.push("a")
        await trio.sleep(1)
        assert w.bucket.asked == ["a", "a"]
        assert (await w.job(job)).state is State.QUEUED
        assert [one.id for one in w.released] == [job]
        assert (await w.record("a")).source_state is SourceState.CHANGED


async def test_another_destinations_job_is_not_answered_by_an_older_answer_either(autojump_clock: MockClock) -> None:
    async with open_world() as w:
        await warmed(w, "a")
        await w.warm("a", "one", "file-of-other", destination="other")
        await trio.sleep(1)
        await w.push("a")
        await trio.sleep(0.01)
        w.bucket.etags["a"] = "two"
        [pushed] = await w.store.push([NewJob("other", Kind.VIDEO, "a")])
        assert isinstance(pushed, Pushed)
        w.checker.offer([pushed])
        await trio.sleep(1)
        assert [one.id for one in w.released] == [pushed.id]


async def test_pushes_without_an_end_do_not_keep_a_job_for_ever(autojump_clock: MockClock) -> None:
    async with open_world() as w:
        await warmed(w, "a")
        with trio.fail_after(60):
            [job] = await w.push("a")
            while (await w.job(job)).state is State.QUEUED:
                await w.push("a")
                await trio.sleep(0.02)
        assert (await w.job(job)).state is State.DONE


async def test_no_more_requests_are_made_at_once_than_the_pool_has_room_for(autojump_clock: MockClock) -> None:
    keys = [f"k{n}" for n in range(50)]
    async with open_world(at_once=7) as w:
        await warmed(w, *keys)
        await w.push(*keys)
        await trio.sleep(5)
        assert w.bucket.most_open == 7
        assert sorted(w.bucket.asked) == sorted(keys)


def test_workers_have_their_connections_first() -> None:
    assert most_at_once(50, 5) == 40
    assert most_at_once(10, 5) == most_at_once(4, 20) == 1


async def test_more_keys_than_the_buffer_holds_are_all_compared(autojump_clock: MockClock) -> None:
    keys = [f"k{n}" for n in range(5_000)]
    async with open_world() as w:
        w.bucket.etags |= dict.fromkeys(keys, "one")
        pushed = await w.store.push([NewJob("bot", Kind.VIDEO, key) for key in keys])
        for one, key in zip(pushed, keys, strict=True):
            assert isinstance(one, Pushed)
            await w.deliver(one.id, "one", f"file-{key}")
        await trio.sleep(1)
        await w.push(*keys)
        with trio.fail_after(60):
            while (await w.store.counts()).by_state.get(State.QUEUED):
                await trio.sleep(0.5)
        assert sorted(w.bucket.asked) == sorted(keys)
        assert sum(one.jobs for one in w.observed if isinstance(one, JobsUnchanged)) == len(keys)


async def test_what_another_process_left_is_compared_here(autojump_clock: MockClock) -> None:
    async with open_world(runs=False) as w, trio.open_nursery() as nursery:
        await warmed(w, "a", "b")
        [before] = [one.id for one in await w.store.push([NewJob("bot", Kind.VIDEO, "a")]) if isinstance(one, Pushed)]
        nursery.start_soon(w.checker.run)
        await trio.sleep(1)
        assert (await w.job(before)).state is State.DONE  # at the start
        [later] = [one.id for one in await w.store.push([NewJob("bot", Kind.VIDEO, "b")]) if isinstance(one, Pushed)]
        await trio.sleep(5)
        assert (await w.job(later)).state is State.DONE
        nursery.cancel_scope.cancel()


async def test_an_object_replaced_while_its_job_ran_is_warmed_again(autojump_clock: MockClock) -> None:
    async with open_world() as w:
        [first] = await w.push("a")
        [claim] = await w.store.claim([first])
        await trio.sleep(1)
        w.bucket.etags["a"] = "two"
        await w.push("a")  # joins the running job, which has opened the version before
        seen = SeenObject("a", 10, "one", None, "0" * 64)
        opened_at = w.store.now() - 1
        assert await w.store.settle([Done(claim.lease, {"file_id": "x"}, seen, opened_at=opened_at)]) == [True]
        await trio.sleep(5)
        assert w.bucket.asked == ["a"]
        assert [one.r2_key for one in w.released] == ["a"]


async def test_a_bucket_that_is_paused_answers_at_once_and_nothing_fails(autojump_clock: MockClock) -> None:
    def refuse(r2_key: str) -> ObjectVersion:
        raise SourceError(ErrorCode.SOURCE_REFUSED, "SignatureDoesNotMatch", permanent=False, blame=Blame.BUCKET)

    async with open_world() as w:
        await warmed(w, "a")
        w.bucket.answer = refuse
        [job] = await w.push("a")
        await trio.sleep(0.5)
        ended = await w.job(job)
        assert ended.state is State.DONE
        assert ended.result is not None
        assert (ended.result["source"], ended.result["file_id"]) == ("unverified", "file-of-a")
        assert len(w.blamed) == 1


async def test_trouble_of_seconds_is_outlasted_and_silence_of_half_a_minute_is_not(autojump_clock: MockClock) -> None:
    began = trio.current_time()

    def busy(r2_key: str) -> ObjectVersion:
        if r2_key == "a" and trio.current_time() > began + 10:
            return ObjectVersion("one", None)
        raise SourceError(ErrorCode.SOURCE_UNAVAILABLE, "503")

    async with open_world() as w:
        await warmed(w, "a", "b")
        w.bucket.answer = busy
        jobs = await w.push("a", "b")
        await trio.sleep(31)
        sources = [(await w.job(job)).result or {} for job in jobs]
        assert [one.get("source") for one in sources] == ["unchanged", "unverified"]


async def test_an_object_that_is_gone_fails_its_job_and_its_record_says_so(autojump_clock: MockClock) -> None:
    def missing(r2_key: str) -> ObjectVersion:
        raise SourceError(ErrorCode.SOURCE_NOT_FOUND, "NoSuchKey")

    async with open_world() as w:
        await warmed(w, "a")
        w.bucket.answer = missing
        [job] = await w.push("a")
        await trio.sleep(1)
        ended = await w.job(job)
        assert (ended.state, ended.error and ended.error.code) == (State.FAILED, ErrorCode.SOURCE_NOT_FOUND)
        assert (await w.record("a")).source_state is SourceState.GONE
        assert [one.id for one in w.observed if isinstance(one, JobMissing)] == [job]


async def test_a_bucket_that_is_gone_is_no_missing_object(autojump_clock: MockClock) -> None:
    def missing(r2_key: str) -> ObjectVersion:
        raise SourceError(ErrorCode.SOURCE_NOT_FOUND, "404", blame=Blame.UNSURE)

    async with open_world() as w:
        await warmed(w, "a")
        w.bucket.answer = missing
        w.is_paused[0] = True  # the guard has probed it
        [job] = await w.push("a")
        await trio.sleep(1)
        assert (await w.job(job)).state is State.DONE
        assert (await w.record("a")).source_state is SourceState.CURRENT


async def test_look_ups_of_an_old_record_have_it_compared_once_and_a_change_warmed(autojump_clock: MockClock) -> None:
    async with open_world(trust_s=300) as w:
        await warmed(w, "a")
        w.bucket.etags["a"] = "two"
        w.checker.found(await w.record("a"))
        await trio.sleep(1)
        assert w.bucket.asked == []  # it was opened a second ago
        await trio.sleep(300)
        for _ in range(50):
            w.checker.found(await w.record("a"))
        await trio.sleep(1)
        assert w.bucket.asked == ["a"]
        assert [one.r2_key for one in w.released] == ["a"]
        w.checker.found(await w.record("a"))
        await trio.sleep(1)
        assert w.bucket.asked == ["a"]


async def test_a_bucket_that_is_down_is_not_asked_for_every_look_up(autojump_clock: MockClock) -> None:
    def busy(r2_key: str) -> ObjectVersion:
        raise SourceError(ErrorCode.SOURCE_UNAVAILABLE, "503")

    async with open_world(trust_s=300) as w:
        await warmed(w, "a")
        await trio.sleep(300)
        w.bucket.answer = busy
        for _ in range(100):
            w.checker.found(await w.record("a"))
            await trio.sleep(0.25)
        assert len(w.bucket.asked) == 1
        assert (await w.record("a")).source_state is SourceState.CURRENT
