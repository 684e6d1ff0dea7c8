"""Buckets that answer in tiny chunks or say `100 Continue` without end: the object arrives, and nobody else waits."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.errors import ErrorCode, SourceError
from tests.worlds.scripted_bucket import ETAG, Asked, Script, head, rig
from tests.worlds.turns import MOST_CALLS, counted_turns

BODY = bytes(range(251)) * 1200
WIRE = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
SEGMENT_BYTES = 7


def unsized(body: bytes, wire: bytes, *, segment_bytes: int) -> Script:
    """A HEAD with the size, and a GET with this chunked body in segments of so many bytes."""

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG, content_length=len(body)))
            return
        await stream.send_all(head(200, etag=ETAG, transfer_encoding="chunked"))
        for at in range(0, len(wire), segment_bytes):
            await stream.send_all(wire[at : at + segment_bytes])

    return script


async def test_a_large_object_in_one_byte_chunks_arrives_while_everything_else_goes_on() -> None:
    async with rig(unsized(BODY, WIRE, segment_bytes=len(WIRE))) as honest, counted_turns() as turns:
        assert await honest.read() == BODY
    assert turns.most_calls < MOST_CALLS


async def test_an_object_whose_chunks_dribble_in_arrives_in_few_pieces() -> None:
    few = BODY[:3000]
    wire = WIRE[: 6 * len(few)] + b"0\r\n\r\n"
    async with (
        rig(unsized(few, wire, segment_bytes=SEGMENT_BYTES)) as honest,
        honest.source.open_object("a.mp4") as opened,
    ):
        pieces = [bytes(piece) async for piece in opened.pieces()]
    assert b"".join(pieces) == few
    assert len(pieces) < len(few) / 10


@given(sizes=st.lists(st.integers(1, 3000), max_size=30), segment_bytes=st.integers(3, 4000))
@settings(max_examples=25, deadline=None)
def test_an_object_is_whole_however_its_chunks_and_segments_are_cut(sizes: list[int], segment_bytes: int) -> None:
    edges, at = [0], 0
    for size in sizes:
        at = min(at + size, 20_000)
        edges.append(at)
    body = BODY[:20_000]
    parts = [body[a:b] for a, b in zip(edges, [*edges[1:], len(body)], strict=True) if a < b]
    wire = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"

    async def main() -> None:
        async with rig(unsized(body, wire, segment_bytes=segment_bytes)) as honest:
            assert await honest.read() == body

    trio.run(main)


async def test_a_bucket_that_says_continue_without_end_costs_an_attempt_and_keeps_nobody_waiting() -> None:
    async def floods(asked: Asked, stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000)

    async with rig(floods) as broken, counted_turns() as turns:
        with pytest.raises(SourceError) as caught:
            await broken.read()
    assert (caught.value.code, caught.value.permanent) == (ErrorCode.SOURCE_UNAVAILABLE, False)
    assert turns.most_calls < MOST_CALLS
