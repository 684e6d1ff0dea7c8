"""What a user loses if a probe is wrong: all work while the bucket is well, or attempts while it is not."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from streamwarm.errors import SourceError, SourceOffline
from tests.worlds.scripted_bucket import ETAG, answering, by_path, patient_clock, rig

BODY = b"media" * 600
DENIED = b"<Error><Code>AccessDenied</Code></Error>"
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.fixture
def clock() -> MockClock:
    return patient_clock()


async def test_a_bucket_that_cannot_be_listed_is_probed_with_the_objects_that_jobs_wait_for() -> None:
    scripts = {
        "?": answering(403, DENIED),
        "good.mp4": answering(200, BODY, etag=ETAG),
        "-1.mp4": answering(403, DENIED),
        "-2.mp4": answering(403, DENIED),
    }
    async with rig(by_path(scripts)) as broken:
        with pytest.raises(SourceError, match="AccessDenied"):
            await broken.source.probe(queued=["missing-1.mp4", "missing-2.mp4"])
        await broken.source.probe(queued=["missing-1.mp4", "good.mp4"])
        asked = len(broken.bucket.asked)
        await broken.source.probe(queued=["missing-1.mp4"])  # it knows an object now
        assert len(broken.bucket.asked) == asked + 1


async def test_a_restarted_service_probes_with_an_object_that_it_has_warmed() -> None:
    scripts = {
        "?": answering(403, DENIED),
        "warm.mp4": answering(200, BODY, etag=ETAG),
        "last.mp4": answering(200, BODY, etag=ETAG),
    }
    async with rig(by_path(scripts)) as broken:
        await broken.source.probe(warmed=["media/warm.mp4"])
        assert len(broken.bucket.asked) == 1
        assert await broken.read("media/last.mp4") == BODY
        broken.bucket.script = by_path(scripts | {"last.mp4": answering(403, DENIED)})  # that one was deleted
        await broken.source.probe(warmed=["media/warm.mp4"])


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed"])
async def test_a_rotated_key_costs_one_refused_request_a_probe(code: str) -> None:
    async with rig(answering(403, f"<Error><Code>{code}</Code></Error>".encode())) as broken:
        with pytest.raises(SourceError, match=code):
            await broken.source.probe(warmed=["media/warm.mp4"], queued=["a.mp4", "b.mp4"])
        assert len(broken.bucket.asked) == 1


async def test_a_key_that_may_not_read_any_more_is_the_buckets_fault() -> None:
    async with rig(answering(200, BODY, etag=ETAG)) as broken:
        assert await broken.read("media/good.mp4") == BODY
        broken.bucket.script = by_path({"?": answering(200, LISTING), "good.mp4": answering(403, DENIED)})
        with pytest.raises(SourceError, match="AccessDenied"):
            await broken.source.probe()


async def test_a_paused_bucket_is_asked_for_nothing_but_probes() -> None:
    async with rig(answering(200, BODY, etag=ETAG)) as broken:
        broken.source.set_offline(True)
        for ask in (broken.read("a.mp4"), broken.source.head_object("a.mp4")):
            with pytest.raises(SourceOffline):
                await ask
        assert broken.bucket.asked == []
        broken.source.set_offline(False)
        assert await broken.read("a.mp4") == BODY


async def test_one_object_in_trouble_does_not_stop_the_bucket_that_gave_it_before() -> None:
    scripts = {"?": answering(200, LISTING), "ill.mp4": answering(200, BODY, etag=ETAG)}
    async with rig(by_path(scripts)) as broken:
        assert await broken.read("media/ill.mp4") == BODY
        good = answering(200, BODY, etag=ETAG)
        broken.bucket.script = by_path(scripts | {"ill.mp4": answering(503), "well.mp4": good})
        await broken.source.probe(warmed=["media/well.mp4"])
        broken.bucket.script = by_path({"?": answering(403, DENIED), "ill.mp4": answering(503), "well.mp4": good})
        await broken.source.probe(queued=["media/well.mp4"])


async def test_an_outage_costs_two_requests_a_probe() -> None:
    async with rig(answering(200, BODY, etag=ETAG)) as broken:
        assert await broken.read("media/good.mp4") == BODY
        broken.bucket.script = answering(503)
        asked = len(broken.bucket.asked)
        with pytest.raises(SourceError, match="503"):
            await broken.source.probe(warmed=["media/warm.mp4"], queued=["a.mp4", "b.mp4"])
        assert len(broken.bucket.asked) == asked + 2


async def test_a_proxy_that_spoils_the_signature_of_a_listing_stops_nothing() -> None:
    spoilt = answering(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
    async with rig(by_path({"?": spoilt, "good.mp4": answering(200, BODY, etag=ETAG)})) as broken:
        await broken.source.probe(queued=["media/good.mp4"])


async def test_a_job_whose_key_no_object_can_have_does_not_make_a_bucket_well() -> None:
    async with rig(answering(403, DENIED)) as broken:
        with pytest.raises(SourceError, match="AccessDenied"):
            await broken.source.probe(warmed=["x" * 2000], queued=["", "\ud800"])
