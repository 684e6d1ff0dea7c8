"""A reference that a sender could not use is answered no more, unless the trouble is the sender's: in every store."""

from __future__ import annotations

import pytest
from attrs import evolve

from streamwarm.backlog.records import Reported
from streamwarm.backlog.shared_limits import EVERY_LANE
from streamwarm.backlog.store import Store
from streamwarm.model import Kind, Refresh, State
from tests.worlds.backlog import Clock, claim_one, photo, push_one, view
from tests.worlds.records import ONE, TWO, answer, begin, counted, delivered, record, recounted, warm_version

HOUR_S = 3_600


async def report(store: Store, file_id: str, r2_key: str | None = "a.jpg", sha256: str | None = None) -> Reported:
    return await store.report_invalid("bot", Kind.PHOTO, file_id, sha256=sha256, r2_key=r2_key)


@pytest.mark.parametrize("asked", [{}, {"r2_key": None, "sha256": ONE}])
async def test_a_bad_reference_is_answered_no_more_and_its_object_sent_again_with_its_options(
    store: Store, clock: Clock, asked: dict[str, str]
) -> None:
    await warm_version(store, "1", photo(sha256=ONE, options={"caption": "kept"}))
    clock.at += 10
    reported = await report(store, "f1", **asked)
    assert reported.record is None
    assert reported.job_id is not None
    assert await answer(store) is await answer(store, sha256=ONE) is None
    job = await view(store, reported.job_id)
    assert (job.state, job.r2_key, job.sha256, job.options) == (State.QUEUED, "a.jpg", None, {"caption": "kept"})
    assert reported.queued is not None
    assert reported.queued.id == job.id
    assert (await push_one(store, photo())).id == job.id
    assert await counted(store) == await recounted(store) == {}
    await store.settle([delivered(await claim_one(store, job.id), "1")])
    assert await answer(store, sha256=ONE) == "f1"


async def test_many_reports_of_one_reference_send_it_once(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    first, second = await report(store, "f1"), await report(store, "f1")
    assert first.job_id is not None
    assert second == Reported(None, None)


async def test_a_reference_that_was_replaced_a_moment_ago_is_not_what_is_reported(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 1
    await warm_version(store, "2", photo(refresh=Refresh.ALWAYS))
    reported = await report(store, "f1")
    assert (reported.job_id, reported.record) == (None, await record(store))
    assert await answer(store) == "f2"


async def test_a_reference_that_is_never_right_is_sent_again_once_an_hour(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    reported = await report(store, "f1")
    assert reported.job_id is not None
    await store.settle([delivered(await claim_one(store, reported.job_id), "2")])
    clock.at += HOUR_S - 1
    assert (await report(store, "f2")).job_id is None
    assert await answer(store) == "f2"
    clock.at += 1
    assert (await report(store, "f2")).job_id is not None
    assert await answer(store) is None


async def test_a_report_does_not_bring_back_the_version_before(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 1
    await warm_version(store, "2", photo(refresh=Refresh.ALWAYS))
    await report(store, "f2")
    assert await answer(store) is None
    assert await answer(store, sha256=ONE) == "f1"
    assert await answer(store, sha256=TWO) is None


async def test_a_bad_reference_that_two_keys_share_is_answered_for_neither(store: Store, clock: Clock) -> None:
    """A push by digest had given it to the second key, and the next one would give it again."""
    await warm_version(store, "1")
    await push_one(store, photo("b.jpg", sha256=ONE))
    assert await answer(store, "b.jpg") == "f1"
    reported = await report(store, "f1", "b.jpg")
    assert await answer(store) is await answer(store, "b.jpg") is None
    assert await answer(store, sha256=ONE) is None
    queued = {job.r2_key: job for job in await store.queued(10)}
    assert set(queued) == {"a.jpg", "b.jpg"}
    assert queued["b.jpg"].id == reported.job_id
    assert not (await push_one(store, photo("b.jpg", sha256=ONE))).duplicate


async def test_an_upload_of_an_older_version_does_not_take_the_place_of_a_bad_reference(
    store: Store, clock: Clock
) -> None:
    slow = await begin(store, photo(sha256=ONE))
    opened_at = clock.at
    clock.at += 10
    await warm_version(store, "2")
    await report(store, "f2")
    await store.settle([delivered(slow, "1", opened_at=opened_at)])
    assert await answer(store) is None
    assert await answer(store, sha256=ONE) == "f1"


async def test_an_import_takes_the_place_of_a_bad_reference(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    before = await record(store)
    clock.at += 10
    await report(store, "f1")
    good = evolve(before, result={"file_id": "f9", "source": "import"}, sha256=None, source_etag=None, opened_at=0.0)
    assert await store.import_records([good]) == [None]
    assert await answer(store) == "f9"


async def test_a_reported_version_of_before_leaves_the_one_that_answers(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 1
    await warm_version(store, "2", photo(refresh=Refresh.ALWAYS))
    assert (await report(store, "f1", None, ONE)).job_id is not None
    assert await answer(store) == "f2"
    assert await answer(store, sha256=ONE) is None
    assert await counted(store) == await recounted(store)


async def test_a_known_id_is_sent_again_once_its_reference_was_reported(store: Store) -> None:
    await warm_version(store, "1", photo(id="mine", sha256=ONE))
    await report(store, "f1")
    assert (await push_one(store, photo(id="mine", sha256=ONE))).state is State.QUEUED


async def test_what_was_forgotten_after_a_report_stays_forgotten(store: Store, clock: Clock) -> None:
    await warm_version(store, "0", photo("0.jpg"))
    await report(store, "f0", "0.jpg")
    assert await store.forget("bot", Kind.PHOTO, sha256="0" * 64)
    await fill(store, 30)
    for number in range(25):
        await report(store, f"f{number}", f"{number}.png")
    assert await answer(store, "0.jpg") is None


async def fill(store: Store, records: int) -> None:
    """Each has a name and a file id of its own."""
    for number in range(records):
        await warm_version(store, str(number), photo(f"{number}.png"))


@pytest.mark.parametrize("sent_again", [False, True])
async def test_a_whole_destination_that_goes_bad_is_paused_and_keeps_its_references(
    store: Store, clock: Clock, sent_again: bool
) -> None:
    await fill(store, 40)
    for number in range(20):
        reported = await report(store, f"f{number}", f"{number}.png")
        assert reported.pause is None
        if sent_again:
            assert reported.job_id is not None
            await store.settle([delivered(await claim_one(store, reported.job_id), str(number))])
        clock.at += 1
    last = await report(store, "f20", "20.png")
    assert last.pause is not None
    assert "21 of its references" in last.pause
    assert last.record is not None
    assert [await answer(store, f"{number}.png") for number in range(40)] == [f"f{number}" for number in range(40)]
    (pause,) = (await store.shared_limits()).set_asides
    assert (pause.destination, pause.lane, pause.kind, pause.reason) == ("bot", EVERY_LANE, None, last.pause)
    assert pause.until > clock.at
    await store.resume("bot")  # as the reason says: a cooldown would stay
    assert not (await store.shared_limits()).set_asides
    assert await counted(store) == await recounted(store)


async def test_reports_over_many_days_pause_nothing(store: Store, clock: Clock) -> None:
    await fill(store, 40)
    for number in range(30):
        assert (await report(store, f"f{number}", f"{number}.png")).pause is None
        clock.at += 60


async def test_a_few_bad_references_among_many_good_ones_pause_nothing(store: Store, clock: Clock) -> None:
    """More than 20, and less than one in twenty."""
    await fill(store, 480)
    for number in range(24):
        assert (await report(store, f"f{number}", f"{number}.png")).pause is None
    assert (await report(store, "f24", "24.png")).pause is not None
