"""What a user loses if a refusal is blamed on the wrong thing: all jobs to one key's policy, or one job to all."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.destinations import DestinationWorld, destination_world, s3_bucket, size_of
from tests.worlds.http_sink import Fault, refusal
from tests.worlds.one_step import Outcome, one_step_world, outcome_of
from tests.worlds.one_step_bucket import Step
from tests.worlds.scripted_bucket import holding, s3_error
from tests.worlds.stream import content

KEY_OR_BUCKET = [
    (403, "SignatureDoesNotMatch"),
    (403, "InvalidAccessKeyId"),
    (400, "ExpiredToken"),
    (403, "RequestTimeTooSkewed"),
    (404, "NoSuchBucket"),
    (301, "PermanentRedirect"),
    (400, "AuthorizationHeaderMalformed"),
]
UNCLEAR = [(403, "AccessDenied"), (403, ""), (404, ""), (405, "MethodNotAllowed"), (411, "MissingContentLength")]
BODY = content(300_000)


@pytest.mark.parametrize("step", [Step.INITIATE, Step.PUT])
@pytest.mark.parametrize(("status", "word"), [*KEY_OR_BUCKET, *UNCLEAR])
async def test_what_a_bucket_says_to_every_key_pauses_the_destination(
    status: int, word: str, step: Step, tmp_path: Path
) -> None:
    async with one_step_world(step, tmp_path) as world:
        worked = await world.attempt(status, word=word, everywhere=True)
    assert outcome_of(worked) is Outcome.KEPT
    (pause,) = worked.pauses
    assert (pause.pauses_destination, pause.retry_after_s) == (True, 300.0)
    assert str(status) in pause.message
    assert word in pause.message
    assert "streamwarm resume" in pause.message


@pytest.mark.parametrize(("status", "word"), UNCLEAR)
async def test_what_a_bucket_says_to_one_key_costs_that_job_alone(status: int, word: str, tmp_path: Path) -> None:
    async with one_step_world(Step.PUT, tmp_path) as world:
        worked = await world.attempt(status, word=word)
    assert outcome_of(worked) is Outcome.TRIED_AGAIN
    assert not worked.pauses


def denies(p: DestinationWorld, part_of_key: bytes, status: int, word: str) -> None:
    """From now on the bucket refuses to write what has this in its name."""
    p.proxy.applies = lambda request: part_of_key in request.target and request.method in {b"PUT", b"POST"}
    p.proxy.faults += [Fault(0, refusal(status, s3_error(word)))] * 20


async def test_a_key_that_may_write_one_prefix_alone_is_judged_by_what_it_has_stored(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    """The probe's own name is denied, too: only an object that was stored shows that the bucket is well."""
    async with destination_world("s3", holding(BODY, cuts=[]), object_store, tmp_path) as p:
        denies(p, b"streamwarm-probe", 403, "AccessDenied")
        assert outcome_of(await p.work(p.job(r2_key="videos/1.mp4"))) is Outcome.DONE
        p.proxy.applies = lambda request: b"videos/" not in request.target and request.method in {b"PUT", b"POST"}
        denied = await p.work(p.job(r2_key="other/1.mp4", attempt=5))
        assert outcome_of(denied) is Outcome.TRIED_AGAIN
        assert not denied.pauses
        p.proxy.applies = lambda request: request.method in {b"PUT", b"POST"}
        revoked = await p.work(p.job(r2_key="videos/2.mp4", attempt=5))
        assert outcome_of(revoked) is Outcome.KEPT
        assert len(revoked.pauses) == 1


@pytest.mark.parametrize("key", ["a b.mp4", "ä.mp4", "a//b.mp4"])
async def test_a_rotated_key_is_seen_though_every_name_is_odd(
    key: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with destination_world("s3", holding(BODY, cuts=[]), object_store, tmp_path) as p:
        denies(p, b"", 403, "SignatureDoesNotMatch")
        worked = await p.work(p.job(r2_key=key, attempt=5))
        assert outcome_of(worked) is Outcome.KEPT
        assert len(worked.pauses) == 1


@pytest.mark.parametrize(("status", "word"), [(400, "InvalidRequest"), (400, "InvalidArgument"), (411, ""), (501, "")])
@pytest.mark.parametrize("key", ["media/{}.mp4", "my video {}.mp4"])
async def test_a_bucket_that_takes_no_upload_as_it_is_made_costs_no_more_than_two_jobs_anything(
    key: str, status: int, word: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    """The probe is answered well: it has no object in it, so nothing of what the bucket has against them."""
    async with destination_world("s3", holding(BODY, cuts=[]), object_store, tmp_path) as p:
        p.proxy.applies = lambda request: request.method == b"PUT"
        p.proxy.faults += [Fault(0, refusal(status, s3_error(word) if word else b""))] * 5
        outcomes = [outcome_of(await p.work(p.job(r2_key=key.format(n)))) for n in range(5)]
        is_of_the_name = word and " " in key  # so it seems, as long as there are only two of them
        counted = Outcome.FAILED if is_of_the_name else Outcome.OUTLASTS  # of a first attempt: another follows
        assert outcomes == ([counted] * 5 if status == 501 else [*[counted] * 2, *[Outcome.KEPT] * 3])
        assert outcome_of(await p.work(p.job(r2_key=key.format(9)))) is Outcome.DONE
        p.proxy.faults.append(Fault(0, refusal(status, s3_error(word))))
        assert outcome_of(await p.work(p.job(r2_key=key.format(0)))) is counted  # one key again


async def test_many_denied_keys_beside_one_that_may_be_written_stop_nothing(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with destination_world("s3", holding(BODY, cuts=[]), object_store, tmp_path) as p:
        assert outcome_of(await p.work(p.job(r2_key="videos/1.mp4"))) is Outcome.DONE
        denies(p, b"/private/", 403, "AccessDenied")
        for number in range(5):
            worked = await p.work(p.job(r2_key=f"private/{number}.mp4", attempt=5))
            assert outcome_of(worked) is Outcome.TRIED_AGAIN


async def test_a_probe_leaves_nothing_in_the_bucket(object_store: ObjectStore, tmp_path: Path) -> None:
    async with destination_world("s3", holding(BODY, cuts=[]), object_store, tmp_path) as p:
        denies(p, b"/media/a.mp4", 403, "AccessDenied")
        assert outcome_of(await p.work(p.job(attempt=5))) is Outcome.TRIED_AGAIN
        assert any("streamwarm-probe?uploads" in request for request in p.proxy.requests)
        assert await p.is_untouched()


async def test_a_bucket_that_takes_no_notes_about_uploads_pauses_and_says_so(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with s3_bucket(object_store, tmp_path, content(size_of("s3-multipart"))) as p:
        denies(p, b"/.streamwarm/", 403, "AccessDenied")
        worked = await p.work(p.job(attempt=5))
        assert outcome_of(worked) is Outcome.KEPT
        assert ".streamwarm/" in worked.pauses[0].message
        assert await p.is_untouched()
