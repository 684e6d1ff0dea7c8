"""What a user loses to a destination bucket that answers oddly: an upload that succeeded and is made again for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import define

from streamwarm.backlog.settlement import Done, Retry
from streamwarm.errors import ErrorCode
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.destinations import DestinationWorld, destination_world, s3_bucket, size_of
from tests.worlds.http_sink import Fault, refusal
from tests.worlds.scripted_bucket import holding
from tests.worlds.stream import content, sha256

BODY = content(size_of("s3-multipart"))
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
COMPLETED = b'<CompleteMultipartUploadResult><ETag>"e-2"</ETag></CompleteMultipartUploadResult>'


@define
class Completed:
    """What came of one upload whose last step was answered with `body`."""

    settlement: object
    code: ErrorCode | None
    parts_sent: int
    held: list[str]


async def complete_with(p: DestinationWorld, status: int, body: bytes, *, passed_on: bool = True) -> Completed:
    assert p.server.ends
    p.proxy.applies = p.server.ends
    p.proxy.faults.append(Fault(None if passed_on else 0, refusal(status, body)))
    finished = await p.work()
    return Completed(
        finished.settlement,
        finished.error.code if finished.error else None,
        sum("partNumber=" in request for request in p.proxy.requests),
        [digest for _, digest in await p.server.holds()],
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"\n\n\n" + DECLARATION + COMPLETED),
        (200, b" " * 2000 + DECLARATION + b"\r\n" + DECLARATION + COMPLETED),
        (200, b"\xef\xbb\xbf" + COMPLETED),
        (200, b""),
        (200, b"\n\n  "),
        (200, DECLARATION + b"<CompleteMultipartUploadResult/>"),
        (204, b""),
    ],
)
async def test_an_upload_that_is_complete_is_not_made_again(
    status: int, body: bytes, object_store: ObjectStore, tmp_path: Path
) -> None:
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        found = await complete_with(p, status, body)
        assert isinstance(found.settlement, Done)
        assert found.held == [sha256(BODY)]
        assert found.parts_sent == 2
        assert await p.server.leftovers() == []


@pytest.mark.parametrize("code", ["InternalError", "SlowDown", "InvalidPart", "AccessDenied", "NeverHeardOf"])
@pytest.mark.parametrize("before", [b"", b"\n\n" + DECLARATION, b"\xef\xbb\xbf" + DECLARATION])
async def test_an_error_inside_a_success_fails_no_job_for_good(
    code: str, before: bytes, object_store: ObjectStore, tmp_path: Path
) -> None:
    body = before + f'<Error xmlns="urn:x"><Code>{code}</Code><Message>m</Message></Error>'.encode()
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        found = await complete_with(p, 200, body, passed_on=False)
        assert isinstance(found.settlement, Retry)
        assert found.held == []
        assert await p.server.leftovers() == []
        assert isinstance((await p.work()).settlement, Done)


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_any_success_of_a_put_stores_the_object(status: int, object_store: ObjectStore, tmp_path: Path) -> None:
    small = content(300_000)
    async with destination_world("s3", holding(small, cuts=[]), object_store, tmp_path) as p:
        p.proxy.faults.append(Fault(None, refusal(status, etag='"e1"')))
        finished = await p.work()
        assert isinstance(finished.settlement, Done)
        assert [digest for _, digest in await p.server.holds()] == [sha256(small)]


async def test_an_older_object_of_the_same_size_is_not_taken_for_the_upload(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    """The first answer was lost, and the second says that there is no such upload: it may have been aborted."""
    newer = bytes(reversed(BODY))
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        assert isinstance((await p.work()).settlement, Done)
        p.bucket.bucket.script = holding(newer, cuts=[])
        assert p.server.ends
        p.proxy.applies = p.server.ends
        p.proxy.faults += [Fault(0), Fault(0, refusal(404))]
        finished = await p.work()
        assert isinstance(finished.settlement, Retry)
        assert [digest for _, digest in await p.server.holds()] == [sha256(BODY)]
