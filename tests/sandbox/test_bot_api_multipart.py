"""Whatever the network cuts a body into, the emulator must sum up exactly the bytes that were sent."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.sandbox.bot_api_replies import BotApiError
from streamwarm.sandbox.form_reader import MAX_TEXT_BYTES, Form, form_reader
from streamwarm.sandbox.multipart_reader import (
    MalformedMultipartError,
    MultipartReader,
    PartData,
    PartStarted,
)

BOUNDARY = b"frontier"
DELIMITER = b"\r\n--" + BOUNDARY
CONTENT_TYPE = "multipart/form-data; boundary=frontier"

unhurried = settings(deadline=None)
"""The machine may be busy: how long an example takes says nothing of the reader."""

look_alikes = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n--",
        b"--",
        b"--frontier",
        b"\r\n--frontie",
        b"\r\r\n--front",
        b"\r\n-",
        b"\0",
    ]
)
contents = (
    st.lists(st.one_of(look_alikes, st.binary(max_size=40)), max_size=12)
    .map(b"".join)
    .filter(lambda content: DELIMITER not in content and DELIMITER not in b"\r\n" + content)
)


def encoded(parts: list[tuple[str, bytes]]) -> bytes:
    body = b""
    for name, content in parts:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}.bin"'
        body += b"--" + BOUNDARY + b"\r\n" + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--" + BOUNDARY + b"--\r\n"


def pieces_of(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def read(body: bytes, *, cuts: list[int] | None = None, content_type: str = CONTENT_TYPE) -> Form:
    reader = form_reader(content_type, "", max_file_bytes=10**9)
    for piece in pieces_of(body, cuts or []):
        reader.feed(piece)
    return reader.finish()


@unhurried
@given(st.lists(contents, min_size=1, max_size=4), st.lists(st.integers(min_value=0), max_size=20))
def test_no_byte_is_lost_or_added_wherever_the_network_cuts(parts: list[bytes], cuts: list[int]) -> None:
    form = read(encoded([(f"part{n}", content) for n, content in enumerate(parts)]), cuts=cuts)
    assert [(file.sha256, file.bytes) for file in form.files.values()] == [
        (hashlib.sha256(content).hexdigest(), len(content)) for content in parts
    ]


@unhurried
@given(contents)
def test_no_byte_is_lost_when_they_come_one_at_a_time(content: bytes) -> None:
    body = encoded([("part", content)])
    reader = MultipartReader(BOUNDARY)
    events = [event for position in range(len(body)) for event in reader.feed(body[position : position + 1])]
    reader.finish()
    assert b"".join(event.data for event in events if isinstance(event, PartData)) == content


@unhurried
@given(contents, st.integers(min_value=0))
def test_a_cut_body_is_never_taken_for_a_whole_one(content: bytes, cut: int) -> None:
    body = encoded([("part", content)])
    last_needed = len(body) - len(b"\r\n")
    with pytest.raises(BotApiError, match="before its closing boundary"):
        read(body[: cut % last_needed])


@unhurried
@given(st.binary(max_size=300), st.lists(st.integers(min_value=0), max_size=5))
def test_any_bytes_at_all_are_read_or_refused_but_never_crash(body: bytes, cuts: list[int]) -> None:
    with suppress(BotApiError):
        read(b"--frontier\r\nContent-Disposition: form-data; name=x" + body, cuts=cuts)


@pytest.mark.parametrize(
    ("disposition", "file_name"),
    [
        ('form-data; name="v"; filename="a b.mp4"', "a b.mp4"),
        ('form-data; name="v"; filename="say %22hi%22.mp4"', 'say "hi".mp4'),
        ('form-data; name="v"; filename="say \\"hi\\" \\\\.mp4"', 'say "hi" \\.mp4'),
        ('form-data; name="v"; filename="клип 🎬.mp4"', "клип 🎬.mp4"),
        ("form-data; name=v; filename=plain.mp4", "plain.mp4"),
        ('form-data; name="v"; filename="x"; filename*=utf-8\'\'%D0%BA.mp4', "к.mp4"),
    ],
)
def test_file_names_survive_every_way_clients_write_them(disposition: str, file_name: str) -> None:
    events = MultipartReader(BOUNDARY).feed(b"--frontier\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n")
    assert events == [PartStarted("v", file_name, None)]


@pytest.mark.parametrize(
    "header",
    [
        'Content-Disposition: form-data; name="a"; name="b"',
        'Content-Disposition: form-data; name="a" smuggled',
        'Content-Disposition: form-data; name="a"; filename="b; name=chat_id"',
        'Content-Disposition: attachment; name="a"',
        'Content-Disposition: form-data; filename="a"',
        'Content-Disposition: form-data; name="a\nX: y"',
        "no colon",
        "Content-Type: text/plain",
    ],
)
def test_a_smuggled_form_field_is_refused_not_guessed_at(header: str) -> None:
    with pytest.raises(MalformedMultipartError):
        MultipartReader(BOUNDARY).feed(b"--frontier\r\n" + header.encode() + b"\r\n\r\n")


def test_an_endless_part_header_is_refused_instead_of_kept() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(b"--frontier\r\n")
    line = b"X-Padding: " + b"x" * 1000
    for _ in range(16):
        reader.feed(line)
    with pytest.raises(MalformedMultipartError, match="exceeds"):
        reader.feed(line)


def test_endless_texts_and_endless_parts_are_refused_instead_of_kept() -> None:
    field = b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    with pytest.raises(BotApiError, match="Too Large"):
        read(field + b"x" * (MAX_TEXT_BYTES + 1))
    with pytest.raises(BotApiError, match="Too Large"):
        read((field + b"x\r\n") * 101)
    with pytest.raises(BotApiError, match="Too Large"):
        read(b"x" * (MAX_TEXT_BYTES + 1), content_type="application/json")


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=" + "b" * 71])
def test_a_body_without_a_usable_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BotApiError, match="boundary"):
        read(b"", content_type=content_type)
