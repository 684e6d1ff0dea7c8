"""Faults 1 to 4: a source that breaks off, lies about its length, is replaced, or ignores ranges."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.answers import Head
from streamwarm.fetch.resuming import MAX_REOPENS, PROGRESS_BYTES, check_continuation, reopen_wait_s
from streamwarm.fetch.source import ObjectInfo
from tests.worlds.scripted_bucket import ETAG, Asked, Script, answering, first_then, head, holding, patient_clock, rig

BODY = bytes(range(256)) * 1200


@pytest.fixture
def clock() -> MockClock:
    return patient_clock()


@settings(max_examples=12)
@given(st.lists(st.integers(0, 150_000), max_size=MAX_REOPENS))
def test_a_download_cut_anywhere_arrives_whole(cuts: list[int]) -> None:
    async def main() -> None:
        async with rig(holding(BODY, cuts=cuts)) as broken:
            assert await broken.read() == BODY
            assert all(request.headers["if-match"] == ETAG for request in broken.bucket.asked if request.offset)

    trio.run(main, clock=patient_clock())


async def test_every_reopen_is_observed_with_its_offset(clock: MockClock) -> None:
    async with rig(holding(BODY, cuts=[1000, 0, 5])) as broken:
        assert await broken.read() == BODY
        assert broken.reopened_at == [1000, 1000, 1005]


async def test_a_torn_download_is_never_delivered_as_whole(clock: MockClock) -> None:
    async with rig(holding(BODY, cuts=[1000] * 50)) as broken:
        with pytest.raises(SourceError, match="5 reopens in a row") as caught:
            await broken.read()
        assert caught.value.code is ErrorCode.SOURCE_TRUNCATED
        assert not caught.value.permanent
        assert len(broken.reopened_at) == MAX_REOPENS


async def test_a_link_that_breaks_often_but_moves_gets_there(clock: MockClock) -> None:
    body = b"0123456789abcdef" * (PROGRESS_BYTES // 2)
    async with rig(holding(body, cuts=[PROGRESS_BYTES] * 7)) as broken:
        assert await broken.read() == body
        assert len(broken.reopened_at) == 7 > MAX_REOPENS


@pytest.mark.parametrize("etag", [None, 'W/"weak"', '"caf\u00e9"', '"a b"'])
async def test_bytes_of_an_object_that_cannot_be_recognised_are_not_joined(etag: str | None, clock: MockClock) -> None:
    async with rig(holding(BODY, cuts=[1000], etag=etag)) as broken:
        with pytest.raises(SourceError, match="no strong ETag") as caught:
            await broken.read(sha256="0" * 64)  # without an ETag, an object is read only if a digest will tell
        assert caught.value.code is ErrorCode.SOURCE_TRUNCATED
        assert len(broken.bucket.asked) == 1


def without_length(body: bytes, *, cut: int, chunked: bool) -> Script:
    """GET gives no length and breaks off cleanly after `cut` bytes; HEAD and ranges work."""
    honest = holding(body, cuts=[])

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD" or asked.offset is not None:
            await honest(asked, stream)
        elif chunked:
            await stream.send_all(head(200, etag=ETAG, transfer_encoding="chunked"))
            await stream.send_all(b"%x\r\n%s\r\n0\r\n\r\n" % (cut, body[:cut]))
        else:
            await stream.send_all(head(200, etag=ETAG, connection="close") + body[:cut])
            await stream.aclose()

    return script


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("cut", [1, 1000, len(BODY)])
async def test_a_clean_end_without_a_length_is_not_taken_for_the_whole(
    chunked: bool, cut: int, clock: MockClock
) -> None:
    async with rig(without_length(BODY, cut=cut, chunked=chunked)) as broken:
        assert await broken.read() == BODY
        assert broken.reopened_at == ([] if cut == len(BODY) else [cut])


async def test_bytes_after_the_objects_end_never_reach_a_message() -> None:
    async with rig(without_length(BODY, cut=1000, chunked=True)) as honest:
        honest.bucket.script = first_then(
            without_length(BODY + b"more", cut=len(BODY) + 4, chunked=False), holding(BODY, cuts=[])
        )
        with pytest.raises(SourceError, match="went on after") as caught:
            await honest.read()
        assert caught.value.code is ErrorCode.SOURCE_CHANGED


async def test_an_object_replaced_while_streaming_ends_the_attempt(clock: MockClock) -> None:
    async with rig(first_then(holding(BODY, cuts=[1000]), answering(412))) as broken:
        with pytest.raises(SourceError, match="replaced") as caught:
            await broken.read()
        assert caught.value.code is ErrorCode.SOURCE_CHANGED
        assert not caught.value.permanent


async def test_an_object_deleted_while_streaming_ends_the_attempt(clock: MockClock) -> None:
    async with rig(first_then(holding(BODY, cuts=[1000]), answering(404))) as broken:
        with pytest.raises(SourceError) as caught:
            await broken.read()
        assert caught.value.code is ErrorCode.SOURCE_CHANGED
        assert not caught.value.permanent  # whether it is gone, the next attempt's plain GET will say


SIZE = len(BODY)
REST = f"bytes 1000-{SIZE - 1}/{SIZE}"


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (200, {"etag": ETAG}, ErrorCode.SOURCE_TRUNCATED),
        (200, {"etag": ETAG, "content_range": REST}, ErrorCode.SOURCE_TRUNCATED),
        (200, {"etag": '"etag-2"'}, ErrorCode.SOURCE_CHANGED),
        (206, {"etag": ETAG}, ErrorCode.SOURCE_TRUNCATED),
        (206, {"etag": ETAG, "content_range": f"bytes 999-{SIZE - 1}/{SIZE}"}, ErrorCode.SOURCE_TRUNCATED),
        (206, {"etag": ETAG, "content_range": f"bytes 1000-1999/{SIZE}"}, ErrorCode.SOURCE_TRUNCATED),
        (206, {"etag": ETAG, "content_range": f"bytes 1000-{SIZE}/{SIZE + 1}"}, ErrorCode.SOURCE_CHANGED),
        (206, {"etag": ETAG, "content_range": "rows 1-2/3"}, ErrorCode.SOURCE_TRUNCATED),
        (206, {"content_range": REST}, ErrorCode.SOURCE_CHANGED),
        (206, {"etag": '"etag-2"', "content_range": REST}, ErrorCode.SOURCE_CHANGED),
        (206, {"etag": ETAG, "content_range": REST, "content_encoding": "br"}, ErrorCode.SOURCE_TRUNCATED),
    ],
)
async def test_bytes_of_another_object_or_place_are_never_spliced_in(
    status: int, headers: dict[str, object], code: ErrorCode, clock: MockClock
) -> None:
    liar = answering(status, b"Z" * (SIZE - 1000), **headers)
    async with rig(first_then(holding(BODY, cuts=[1000]), liar)) as broken:
        got = bytearray()
        with pytest.raises(SourceError) as caught:  # noqa: PT012 - what came before the error matters
            async with broken.source.open_object("media/a.mp4") as source_object:
                async for piece in source_object.pieces():
                    got += piece
        assert caught.value.code is code
        assert not caught.value.permanent
        assert bytes(got) == BODY[:1000]


@given(
    start=st.integers(0, 100),
    end=st.integers(0, 100),
    total=st.integers(0, 100),
    length=st.none() | st.integers(0, 100),
    offset=st.integers(0, 99),
)
def test_only_the_exact_rest_is_taken_for_the_rest(
    start: int, end: int, total: int, length: int | None, offset: int
) -> None:
    headers = {"etag": ETAG, "content-range": f"bytes {start}-{end}/{total}"}
    answer = Head.of(206, headers | ({} if length is None else {"content-length": str(length)}))
    right = (start, end, total) == (offset, 99, 100) and length in {None, 100 - offset}
    try:
        check_continuation(answer, ObjectInfo("k", 100, ETAG, None), offset)
    except SourceError:
        assert not right
    else:
        assert right


async def test_a_source_that_comes_back_after_errors_is_resumed(clock: MockClock) -> None:
    async def busy(asked: Asked, stream: trio.SocketStream) -> None:
        await answering(503)(asked, stream)

    script = first_then(holding(BODY, cuts=[1000]), first_then(busy, first_then(busy, holding(BODY, cuts=[]))))
    async with rig(script) as broken:
        assert await broken.read() == BODY
        assert broken.reopened_at == [1000, 1000, 1000]


async def test_a_source_that_asks_for_a_long_silence_does_not_idle_the_upload(clock: MockClock) -> None:
    async with rig(first_then(holding(BODY, cuts=[1000]), answering(503, retry_after=120))) as broken:
        with pytest.raises(SourceError) as caught:
            await broken.read()
        assert caught.value.code is ErrorCode.SOURCE_UNAVAILABLE
        assert caught.value.retry_after_s == 120.0


@given(failures=st.integers(1, MAX_REOPENS), random=st.floats(0, 1, exclude_max=True))
def test_readers_that_broke_together_do_not_come_back_together(failures: int, random: float) -> None:
    full = reopen_wait_s(failures, 0.0) * 2
    assert full / 2 <= reopen_wait_s(failures, random) <= full <= 3.2
