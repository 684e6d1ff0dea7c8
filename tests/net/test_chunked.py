"""Chunked bodies: whatever the server does with their framing, a caller gets the right bytes or an error."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.net.chunked import LINE_BYTES, MOST_CHUNKS, TRAILER_BYTES, ChunkedReader, MalformedChunk

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def ours(segments: Sequence[bytes]) -> bytes:
    """The body, as our reader finds it in these TCP segments. Raises `MalformedChunk`; `EOFError` if it has no end."""
    reader, body = ChunkedReader(), b""
    for segment in segments:
        reader.feed(segment)
        while piece := reader.take():
            body += piece
        if reader.ended:
            return body
    raise EOFError


def h11s(wire: bytes) -> bytes:
    """The body, as h11 finds it. Raises `h11.RemoteProtocolError`; `EOFError` if it has no end."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD + wire)
    body = b""
    while (event := connection.next_event()) is not h11.NEED_DATA:
        if isinstance(event, h11.Data):
            body += event.data
        if isinstance(event, h11.EndOfMessage):
            return body
    raise EOFError


def cut(wire: bytes, edges: Sequence[int]) -> list[bytes]:
    ends = sorted({0, len(wire), *(edge % (len(wire) + 1) for edge in edges)})
    return [wire[begin:end] for begin, end in pairwise(ends)]


sizes = st.sampled_from(["%x", "%X", "0%x", "000%X"])
extensions = st.sampled_from([b"", b"", b";a", b";a=b", b';a="b; c"', b"; a = b", b" ", b"\t "])
chunk = st.tuples(st.binary(min_size=1, max_size=40), sizes, extensions)
trailers = st.lists(st.sampled_from([b"x-amz-checksum-crc32: AAAAAA==", b"a:", b"a:\t b ", b"A: 1\xff"]), max_size=3)


@st.composite
def framed(draw: st.DrawFn) -> bytes:
    chunks = draw(st.lists(chunk, max_size=12))
    parts = [b"%s%s\r\n%s\r\n" % ((size % len(data)).encode(), ext, data) for data, size, ext in chunks]
    last = draw(st.sampled_from([b"0", b"000"])) + draw(extensions) + b"\r\n"
    return b"".join([*parts, last, *(line + b"\r\n" for line in draw(trailers)), b"\r\n"])


edges = st.lists(st.integers(0, 10_000), max_size=20)


@given(wire=framed(), edges=edges)
@settings(max_examples=300, deadline=None)
def test_an_object_is_the_same_however_its_server_and_the_network_cut_it(wire: bytes, edges: list[int]) -> None:
    assert ours(cut(wire, edges)) == h11s(wire)
    assert ours([wire[at : at + 1] for at in range(len(wire))]) == h11s(wire)


@given(wire=framed(), edges=edges, at=st.integers(0, 10_000), junk=st.binary(max_size=3), dropped=st.integers(0, 3))
@settings(max_examples=600, deadline=None)
def test_spoiled_framing_is_an_error_or_waits_but_never_gives_other_bytes_than_h11(
    wire: bytes, edges: list[int], at: int, junk: bytes, dropped: int
) -> None:
    at %= len(wire)
    spoiled = wire[:at] + junk + wire[at + dropped :]
    try:
        body = ours(cut(spoiled, edges))
    except (MalformedChunk, EOFError):
        return
    assert body == h11s(spoiled)


@given(wire=framed(), edges=edges, at=st.integers(0, 10_000))
@settings(max_examples=200, deadline=None)
def test_a_body_that_is_cut_off_has_no_end(wire: bytes, edges: list[int], at: int) -> None:
    with pytest.raises(EOFError):
        ours(cut(wire[: at % len(wire)], edges))


SMUGGLED = [
    b"5\nabcde\r\n0\r\n\r\n",  # a line that only LF ends
    b"5\rabcde\r\n0\r\n\r\n",
    b"0x5\r\nabcde\r\n0\r\n\r\n",
    b"+5\r\nabcde\r\n0\r\n\r\n",
    b"-5\r\nabcde\r\n0\r\n\r\n",
    b" 5\r\nabcde\r\n0\r\n\r\n",
    b"0_5\r\nabcde\r\n0\r\n\r\n",
    b"\xd9\xa5\r\nabcde\r\n0\r\n\r\n",  # an Arabic five, which int() would take
    b"\r\n0\r\n\r\n",
    b"5 5\r\nabcde\r\n0\r\n\r\n",
    b"100000000000000000005\r\nabcde\r\n0\r\n\r\n",
    b"5;a\nb\r\nabcde\r\n0\r\n\r\n",  # a second line within an extension
    b"5;a\rb\r\nabcde\r\n0\r\n\r\n",
    b"5;a\0\r\nabcde\r\n0\r\n\r\n",
    b"5\r\nabcdef\r\n0\r\n\r\n",
    b"5\r\nabcd\r\n0\r\n\r\n",
    b"5\r\nabcde\n0\r\n\r\n",
    b"5\r\nabcde0\r\n\r\n",
    b"5\r\nabcde\r\n0\r\n a: folded\r\n\r\n",
    b"5\r\nabcde\r\n0\r\na: b\r\n folded\r\n\r\n",
    b"5\r\nabcde\r\n0\r\na : b\r\n\r\n",
    b"5\r\nabcde\r\n0\r\nno trailer\r\n\r\n",
    b"5\r\nabcde\r\n0\r\na: b\nc: d\r\n\r\n",
    b"5\r\nabcde\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n",
]


@pytest.mark.parametrize("wire", SMUGGLED)
def test_framing_that_two_readers_could_read_differently_is_refused(wire: bytes) -> None:
    for segments in ([wire], [wire[at : at + 1] for at in range(len(wire))]):
        with pytest.raises(MalformedChunk):
            ours(segments)


def refused_after(wire: bytes) -> int:
    """How many bytes of a body without data were taken before it was refused."""
    reader = ChunkedReader()
    for at in range(0, len(wire), 100):
        reader.feed(wire[at : at + 100])
        try:
            assert not reader.take()
        except MalformedChunk:
            return at + 100
    pytest.fail("it was never refused")


def test_lines_and_trailers_without_end_are_refused_before_they_fill_memory() -> None:
    endless = [
        (b"5;" + b"a" * LINE_BYTES, LINE_BYTES),
        (b"5" + b" " * LINE_BYTES, LINE_BYTES),
        (b"0\r\na:" + b"b" * TRAILER_BYTES, TRAILER_BYTES),
        (b"0\r\n" + b"a: b\r\n" * TRAILER_BYTES, TRAILER_BYTES),
    ]
    for wire, bound in endless:
        assert refused_after(wire) <= bound + 200
        with pytest.raises(MalformedChunk):
            ours([wire + b"\r\n\r\n"])


def test_a_size_that_is_cut_within_its_line_end_is_not_guessed() -> None:
    wire = b"4\r\nabcd\r\n6\r\nefghij\r\n0\r\n\r\n"
    for at in range(len(wire)):
        assert ours([wire[:at], wire[at:]]) == b"abcdefghij"


def test_what_came_whole_before_the_spoiled_chunk_is_not_lost() -> None:
    reader = ChunkedReader()
    reader.feed(b"3\r\nabc\r\n2\r\nde\r\nzz\r\n")
    assert reader.take() == b"abcde"
    for _ in range(2):
        with pytest.raises(MalformedChunk):
            reader.take()


def test_chunks_that_came_together_go_up_together_but_never_without_bound() -> None:
    count = 3 * MOST_CHUNKS
    reader = ChunkedReader()
    reader.feed(b"1\r\nx\r\n" * count + b"0\r\n\r\nnext")
    pieces = []
    while piece := reader.take():
        pieces.append(piece)
    assert [len(piece) for piece in pieces] == [MOST_CHUNKS] * 3
    assert reader.ended
    assert reader.rest == b"next"


def test_a_large_chunk_is_not_copied() -> None:
    reader = ChunkedReader()
    reader.feed(b"40000\r\n")
    assert not reader.take()
    data = bytes(1000)
    reader.feed(data)
    assert reader.take() is data
