"""What a bad source may cost a user: a retry, never a wrong file. Rows 1 to 9 of the fault list, over real sockets."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.errors import AttemptError, DestinationError, ErrorCode, SourceError
from streamwarm.model import Kind
from tests.worlds.scripted_bucket import ETAG, Asked, Script, answering, first_then, head, holding
from tests.worlds.stream import content, job, sha256, world

OBJECT = content(400_000)


def range_of(body: bytes, start: int) -> str:
    return f"bytes {start}-{len(body) - 1}/{len(body)}"


def cut_after(body: bytes, count: int) -> Script:
    """Only the first `count` bytes, then the end of the connection."""
    return holding(body, cuts=[count])


async def refused(script: Script, code: ErrorCode, **changes: object) -> AttemptError:
    """Make one attempt that must fail with `code` and must not become a message."""
    async with world(script) as w:
        with pytest.raises(AttemptError) as caught:
            await w.send(job(**changes))
        assert caught.value.code is code
        assert w.digests == []
        return caught.value


@settings(max_examples=8)
@given(
    size_bytes=st.sampled_from([1, 2, 65_536, 400_000, 1_500_000]),
    shares=st.lists(st.floats(0, 1, exclude_max=True), max_size=2),
)
async def test_a_torn_download_is_delivered_whole_wherever_it_tore(size_bytes: int, shares: list[float]) -> None:
    body = content(size_bytes)
    cuts = [int(share * size_bytes / (len(shares) + 1)) for share in shares]
    async with world(holding(body, cuts=cuts)) as w:
        delivered = await w.send(job(sha256=sha256(body)))
        assert w.digests == [sha256(body)] == [delivered.result["sha256"]]
        assert delivered.result["bytes"] == size_bytes
        assert w.emulator.traffic.requests == 1


async def test_a_download_without_a_length_that_breaks_off_is_never_taken_for_the_whole() -> None:
    def unmeasured(etag: dict[str, str]) -> Script:
        async def script(asked: Asked, stream: trio.SocketStream) -> None:
            if asked.method == "HEAD":
                await stream.send_all(head(200, content_length=len(OBJECT), **etag))
            elif asked.offset is None:
                await stream.send_all(head(200, **etag) + OBJECT[:150_000])
                await stream.aclose()
            else:
                rest = OBJECT[asked.offset :]
                span = range_of(OBJECT, asked.offset)
                await stream.send_all(head(206, content_length=len(rest), content_range=span, **etag) + rest)

        return script

    async with world(unmeasured({"etag": ETAG})) as w:
        await w.send()
        assert w.digests == [sha256(OBJECT)]
    # Without an ETag it is read at all only because a digest will tell.
    await refused(unmeasured({}), ErrorCode.SOURCE_TRUNCATED, sha256=sha256(OBJECT))


@pytest.mark.parametrize(
    ("then", "code"),
    [
        (answering(412), ErrorCode.SOURCE_CHANGED),
        (holding(content(400_000, seed=2), cuts=[], etag='"etag-2"'), ErrorCode.SOURCE_CHANGED),
        (answering(200, OBJECT, etag=ETAG), ErrorCode.SOURCE_TRUNCATED),
        (
            answering(206, OBJECT[200_000:], etag=ETAG, content_range=range_of(OBJECT, 200_000)),
            ErrorCode.SOURCE_TRUNCATED,
        ),
    ],
    ids=["precondition-failed", "other-etag", "range-ignored", "other-range"],
)
async def test_bytes_of_two_answers_that_do_not_belong_together_are_never_spliced(
    then: Script, code: ErrorCode
) -> None:
    error = await refused(first_then(cut_after(OBJECT, 100_000), then), code)
    assert isinstance(error, SourceError)
    assert not error.permanent


async def test_an_object_replaced_while_it_streams_is_delivered_anew_by_the_next_attempt() -> None:
    new = content(300_000, seed=2)
    script = first_then(cut_after(OBJECT, 100_000), holding(new, cuts=[], etag='"etag-2"'))
    async with world(script) as w:
        with pytest.raises(SourceError) as caught:
            await w.send()
        assert caught.value.code is ErrorCode.SOURCE_CHANGED
        assert w.digests == []
        await w.send()
        assert w.digests == [sha256(new)]


async def test_bytes_compressed_on_the_way_are_refused_by_name() -> None:
    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        assert asked.headers["accept-encoding"] == "identity"
        encoding = {} if asked.method == "HEAD" else {"content_encoding": "gzip"}
        body = b"" if asked.method == "HEAD" else OBJECT
        await stream.send_all(head(200, content_length=len(OBJECT), etag=ETAG, **encoding) + body)

    error = await refused(script, ErrorCode.SOURCE_REFUSED)
    assert "gzip" in error.message


async def test_an_object_stored_compressed_is_delivered_exactly_as_stored() -> None:
    async with world(answering(200, OBJECT, etag=ETAG, content_encoding="gzip")) as w:
        await w.send()
        assert w.digests == [sha256(OBJECT)]


@pytest.mark.parametrize("sent_bytes", [0, 150_000], ids=["from-the-start", "half-way"])
async def test_a_source_that_falls_silent_ends_the_attempt_and_leaves_no_message(sent_bytes: int) -> None:
    async def script(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, content_length=len(OBJECT), etag=ETAG) + OBJECT[:sent_bytes])
        await trio.sleep_forever()

    async with world(script, body_timeout_s=0.3) as w:
        with trio.fail_after(5), pytest.raises(SourceError) as caught:
            await w.send()
        assert caught.value.code is ErrorCode.TIMEOUT
        assert not caught.value.permanent
        assert w.digests == []
        assert w.source_pool.stats()["active"] == w.destination_pool.stats()["active"] == 0


@pytest.mark.parametrize(
    ("script", "code", "permanent", "retry_after_s"),
    [
        (answering(404), ErrorCode.SOURCE_NOT_FOUND, True, None),
        (answering(403), ErrorCode.SOURCE_REFUSED, True, None),
        (answering(503, retry_after="7"), ErrorCode.SOURCE_UNAVAILABLE, False, 7.0),
        (answering(429, retry_after="11"), ErrorCode.SOURCE_UNAVAILABLE, False, 11.0),
        (answering(500), ErrorCode.SOURCE_UNAVAILABLE, False, None),
    ],
    ids=["404", "403", "503", "429", "500"],
)
async def test_a_refusing_bucket_is_retried_only_where_that_can_help(
    script: Script, code: ErrorCode, permanent: bool, retry_after_s: float | None
) -> None:
    async with world(script) as w:
        with pytest.raises(SourceError) as caught:
            await w.send()
        error = caught.value
        assert (error.code, error.permanent, error.retry_after_s) == (code, permanent, retry_after_s)
        assert w.emulator.traffic.upload_bytes == 0


async def test_an_empty_object_fails_before_a_byte_is_uploaded() -> None:
    async with world(answering(200, b"", etag=ETAG)) as w:
        with pytest.raises(SourceError) as caught:
            await w.send()
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.SOURCE_EMPTY, True)
        assert w.emulator.traffic.upload_bytes == 0


@pytest.mark.parametrize(
    ("kind", "limit", "options", "remedy"),
    [
        (Kind.PHOTO, 10_000_000, {}, 'options.fallback to "document"'),
        (Kind.PHOTO, 50_000_000, {"fallback": "document"}, "local_server"),
        (Kind.VIDEO, 50_000_000, {}, "local_server"),
    ],
)
async def test_an_object_over_the_limit_fails_before_a_byte_is_uploaded(
    kind: Kind, limit: int, options: dict[str, str], remedy: str
) -> None:
    async def script(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(head(200, content_length=limit + 1, etag=ETAG))

    async with world(script) as w:
        with pytest.raises(DestinationError) as caught:
            await w.send(job(kind=kind, options=options))
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.TOO_LARGE, True)
        assert str(limit) in caught.value.message
        assert remedy in caught.value.message
        assert w.emulator.traffic.upload_bytes == 0


@pytest.mark.parametrize("size_bytes", [1, 100, 65_537, 3_000_000])
async def test_an_object_with_another_digest_never_becomes_a_message(size_bytes: int) -> None:
    async with world(holding(content(size_bytes), cuts=[])) as w:
        with pytest.raises(SourceError) as caught:
            await w.send(job(sha256="0" * 64))
        assert (caught.value.code, caught.value.permanent) == (ErrorCode.SHA256_MISMATCH, True)
        assert w.digests == []
        # The connection that carried half a form is not used again: the next upload arrives whole.
        await w.send(job(sha256=sha256(content(size_bytes))))
        assert w.digests == [sha256(content(size_bytes))]


async def test_a_login_page_costs_a_job_that_names_its_digest_an_attempt_and_not_its_life() -> None:
    error = await refused(answering(200, b"<html>Log in</html>"), ErrorCode.SHA256_MISMATCH, sha256=sha256(OBJECT))
    assert not error.permanent
    empty = await refused(answering(200, b""), ErrorCode.SOURCE_UNAVAILABLE, sha256=sha256(OBJECT))
    assert not empty.permanent
