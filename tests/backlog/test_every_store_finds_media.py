"""What every store promises about warm records, the order of the queue, and events."""

from __future__ import annotations

from random import Random

import pytest
import trio

from streamwarm.backlog.settlement import Failed, Retry
from streamwarm.backlog.store import Action, Store
from streamwarm.fetch.source import CachedObject
from streamwarm.model import Kind, NewJob, QueuedJob, State
from streamwarm.priority import PausedTime, PausedTimes, score
from tests.worlds.backlog import TIMED_OUT, claim_one, done, photo, push_one, start, view, warm

ONE, TWO = "11" * 32, "22" * 32


async def file_id(store: Store, **asked: str) -> object:
    record = await store.find("bot", Kind.PHOTO, **asked)
    return record and record.result["file_id"]


async def test_a_bot_finds_media_by_either_name_whichever_it_was_pushed_with(store: Store, clock) -> None:
    await warm(store, photo("by-key.jpg"), "f1", ONE)
    await warm(store, photo("by-digest.jpg", sha256=TWO), "f2", TWO)
    assert await file_id(store, r2_key="by-key.jpg") == "f1"
    assert await file_id(store, sha256=ONE) == "f1"
    assert await file_id(store, sha256=TWO) == "f2"
    assert await file_id(store, r2_key="by-digest.jpg") == "f2"
    assert await file_id(store, r2_key="other.jpg") is None
    assert await store.find("bot", Kind.VIDEO, sha256=ONE) is None
    assert await store.find("other", Kind.PHOTO, sha256=ONE) is None


async def test_a_digest_finds_the_reference_whose_object_was_opened_last_and_a_key_finds_its_own(
    store: Store, clock
) -> None:
    await warm(store, photo("a.jpg"), "a", ONE)
    clock.at += 1
    await warm(store, photo("b.jpg"), "b", ONE)
    assert await file_id(store, sha256=ONE) == "b"
    assert await file_id(store, r2_key="a.jpg") == "a"
    assert await file_id(store, r2_key="b.jpg") == "b"


async def test_what_was_forgotten_is_found_by_no_name(store: Store) -> None:
    await warm(store, photo("a.jpg"), "f1", ONE)
    assert (await push_one(store, photo("b.jpg", sha256=ONE))).state is State.DONE
    assert await file_id(store, r2_key="b.jpg") == "f1"
    await warm(store, photo("c.jpg"), "f3", TWO)
    assert await store.forget("bot", Kind.PHOTO, sha256=ONE)
    assert not await store.forget("bot", Kind.PHOTO, sha256=ONE)
    assert await file_id(store, r2_key="a.jpg") is None
    assert await file_id(store, r2_key="b.jpg") is None
    assert await file_id(store, r2_key="c.jpg") == "f3"
    assert not (await push_one(store, photo("a.jpg"))).duplicate


async def test_media_that_nobody_here_has_read_is_found_by_what_it_was_pushed_with(store: Store) -> None:
    await warm(store, photo("a.jpg"), "f1", None)
    await warm(store, photo("b.jpg"), "f2", None)
    await warm(store, photo("c.jpg", sha256=ONE), "f3", None)
    assert await file_id(store, r2_key="a.jpg") == "f1"
    assert await file_id(store, r2_key="b.jpg") == "f2"
    assert await file_id(store, r2_key="c.jpg") == "f3"
    assert await file_id(store, sha256=ONE) == "f3"
    assert await file_id(store, sha256=TWO) is None
    record = await store.find("bot", Kind.PHOTO, r2_key="b.jpg")
    assert record is not None
    assert record.sha256 is None
    assert await store.forget("bot", Kind.PHOTO, r2_key="b.jpg")
    assert await file_id(store, r2_key="a.jpg") == "f1"


async def test_a_look_up_without_a_name_is_a_mistake_that_is_told(store: Store) -> None:
    with pytest.raises(ValueError, match="neither was given"):
        await store.find("bot", Kind.PHOTO)


async def test_small_photos_go_before_large_videos(store: Store) -> None:
    await store.push(
        [
            NewJob("bot", Kind.VIDEO, "large", bytes=50_000_000),
            NewJob("bot", Kind.DOCUMENT, "unknown"),
            NewJob("bot", Kind.VIDEO, "small", bytes=50_000),
            NewJob("bot", Kind.PHOTO, "tiny", bytes=10),
            NewJob("bot", Kind.AUDIO, "later"),
        ]
    )
    order = [(await view(store, job.id)).r2_key for job in await store.queued(10)]
    assert order == ["tiny", "small", "unknown", "later", "large"]
    assert [job.id for job in await store.queued(2)] == ["job-4", "job-3"]


async def test_a_job_that_waited_too_long_goes_first_whatever_its_score(store: Store, clock) -> None:
    await store.push([NewJob("bot", Kind.VIDEO, "slow", bytes=10**9)])
    clock.at += 901
    await store.push([photo("tiny", bytes=1)])
    assert [job.id for job in await store.queued(2)] == ["job-1", "job-2"]


async def test_the_queue_is_ordered_by_the_seeds_table(store: Store, clock) -> None:
    random = Random(7)
    sizes = [None, 10, 99_999, 500_000, 2_000_000, 10_000_000, 30_000_000]
    for number in range(20):
        await store.push([NewJob("bot", random.choice(list(Kind)), f"{number}", bytes=random.choice(sizes))])
        clock.at += random.choice([0, 1, 59, 60, 61, 200])

    def rank(job: QueuedJob) -> tuple[bool, int, int]:
        waited_s = clock.at - job.queued_at
        overdue = waited_s > 900
        return (not overdue, 0 if overdue else -score(job.kind, job.bytes, waited_s), job.seq)

    everything = await store.queued(100)
    assert len(everything) == 20
    assert everything == sorted(everything, key=rank)
    for limit in (0, 1, 7, 19):
        assert await store.queued(limit) == everything[:limit]


async def test_every_change_is_told_once_in_order_with_what_it_brought(store: Store, clock) -> None:
    claim = await start(store, photo())
    await store.settle([Retry(claim.lease, TIMED_OUT, clock.at + 1)])
    clock.at += 1
    await store.wake_due()
    await store.settle([done(await claim_one(store, claim.job.id))])
    events = await store.events_after(0, limit=100)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [(event.state, event.attempt) for event in events] == [
        (State.QUEUED, 0),
        (State.RUNNING, 1),
        (State.WAITING, 1),
        (State.QUEUED, 1),
        (State.RUNNING, 2),
        (State.DONE, 2),
    ]
    assert [event.error for event in events] == [None, None, TIMED_OUT, None, None, None]
    assert [event.retry_at for event in events] == [None, None, clock.at, None, None, None]
    assert events[-1].result == {"file_id": "file-1"}
    assert events[0].at == clock.at - 1


async def test_a_client_follows_its_own_jobs_from_where_it_left(store: Store) -> None:
    await store.push([photo("1.jpg"), photo("2.jpg"), photo("3.jpg")])
    await store.claim(["job-3", "job-1", "job-2"])
    mine = [event for event in await store.events_after(1, limit=100) if event.id in {"job-1", "job-3"}]
    assert [(event.seq, event.id) for event in mine] == [(3, "job-3"), (4, "job-3"), (5, "job-1")]
    assert [event.seq for event in await store.events_after(2, limit=2)] == [3, 4]


async def test_a_client_that_comes_back_reads_its_own_jobs_events_alone(store: Store) -> None:
    await store.push([photo(f"{number}.jpg") for number in range(1, 31)])
    await store.claim(["job-30", "job-2", "job-7"])
    await store.cancel("job-2")
    everything = await store.events_after(0, limit=1000)
    for ids in ({"job-2"}, {"job-30", "job-2", "job-9"}, {f"job-{number}" for number in range(1, 31)}, {"none"}, set()):
        for after, until, limit in ((0, 1000, 1000), (2, 32, 1000), (7, 7, 9), (0, 1000, 1), (5, 33, 3), (33, 99, 2)):
            wanted = [one for one in everything if one.id in ids and after < one.seq <= until][:limit]
            assert await store.events_of(ids, after=after, until=until, limit=limit) == wanted


async def test_the_states_of_jobs_are_those_of_the_jobs_that_exist(store: Store) -> None:
    await store.push([photo("1.jpg"), photo("2.jpg"), photo("3.jpg")])
    await store.cancel("job-2")
    assert await store.states(["job-1", "job-2", "nothing"]) == {"job-1": State.QUEUED, "job-2": State.CANCELLED}
    assert await store.states([]) == {}


async def test_a_forgotten_job_has_no_events_left(store: Store) -> None:
    await store.push([photo("1.jpg")])
    await store.cancel("job-1")
    await store.change_each(Action.FORGET, ["job-1"])
    assert await store.events_of({"job-1"}, after=0, until=99, limit=9) == []
    assert await store.states(["job-1"]) == {}


async def test_who_waits_for_an_event_is_woken_by_it(store: Store) -> None:
    seen: list[int] = []

    async def follow(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        seen.extend(event.seq for event in await store.next_events(0, limit=10))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(follow)
            await store.renew([])
            assert seen == []
            await push_one(store, photo())
        assert seen == [1]
        assert [event.seq for event in await store.next_events(0, limit=10)] == [1]


async def test_a_final_failure_leaves_nothing_warm_and_room_for_a_new_try(store: Store) -> None:
    claim = await start(store, photo())
    await store.settle([Failed(claim.lease, TIMED_OUT)])
    assert await file_id(store, r2_key="a.jpg") is None
    assert not (await push_one(store, photo())).duplicate


async def test_the_jobs_of_paused_destinations_take_up_no_room(store: Store) -> None:
    await store.push([NewJob(name, Kind.PHOTO, f"{n}.jpg") for n, name in enumerate(["a", "ab", "b", "a", "a b"])])
    left = [job.destination for job in await store.queued(10, without={"a", "b"})]
    assert sorted(left) == ["a b", "ab"]
    assert [job.destination for job in await store.queued(1, without={"a"})] == ["ab"]


async def test_jobs_that_a_copy_can_serve_are_found_wherever_they_are_in_the_queue(store: Store) -> None:
    await store.push([NewJob("bot", Kind.PHOTO, f"{n}.jpg") for n in range(10)])
    await store.push(
        [
            NewJob("other", Kind.VIDEO, "copy"),
            NewJob("bot", Kind.VIDEO, "copy", sha256=ONE),
            NewJob("bot", Kind.DOCUMENT, "copy", sha256=TWO),  # the copy has another digest
            NewJob("bot", Kind.AUDIO, "elsewhere", sha256=ONE),
        ]
    )
    copies = [CachedObject("copy", ONE), CachedObject("unwanted", TWO)]
    found = await store.queued(5, copies=copies)
    assert {(job.destination, job.kind) for job in found} == {("other", Kind.VIDEO), ("bot", Kind.VIDEO)}
    assert [job.destination for job in await store.queued(5, copies=copies, without=["other"])] == ["bot"]
    await store.claim([job.id for job in found])
    assert await store.queued(5, copies=copies) == []


async def test_a_pause_does_not_make_jobs_overdue_in_any_store(store: Store, clock) -> None:
    video = await push_one(store, NewJob("bot", Kind.VIDEO, "old.mp4"))
    for n in range(3):
        await push_one(store, NewJob("bot", Kind.PHOTO, f"{n}.jpg", id=f"photo-{n}"))
    queued_at = clock.at
    clock.at += 1000
    await push_one(store, NewJob("bot", Kind.PHOTO, "new.jpg", id="new"))
    assert "new" not in [job.id for job in await store.queued(4)]
    paused = PausedTimes(PausedTime(((queued_at + 1, queued_at + 999),)))
    assert (await store.queued(4, paused=paused))[0].id == "new"
    assert video.id not in [job.id for job in await store.queued(4, paused=paused)]
