"""What a user loses without these: uploads whose length is exact, and hostile names that stay names.

One judge is the standard library's MIME parser, which shares no code with ours; the other reads headers as Telegram's
open server does.
"""

from __future__ import annotations

import email.parser
import email.policy
import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from streamwarm.send.telegram.multipart import AttachedFile, frame_file

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
HOSTILE = [
    'a"; name="chat_id',
    "a; name=thumbnail; b",
    ';filename="b"; name="c"',
    "=;=;",
    "a\r\nContent-Type: text/html\r\n\r\nx",
    "--b0--\r\n",
    "\r\n--b0\r\n",
    "…😀",
    "%22",
    "\\",
]
hostile = st.sampled_from(HOSTILE)


def parse(content_type: str, body: bytes) -> list[tuple[str, str | None, bytes]]:
    """(name, file name, content) of each part."""
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    parts = []
    for part in message.iter_parts():
        assert not part.defects
        name = part.get_param("name", header="content-disposition")
        parts.append((str(name), part.get_filename(), part.get_payload(decode=True)))
    return parts


@given(caption=texts | hostile, file_name=texts | hostile, content=st.binary(max_size=200))
def test_hostile_names_and_captions_never_become_other_fields(caption: str, file_name: str, content: bytes) -> None:
    frame = frame_file(
        [("chat_id", "-100"), ("caption", caption)],
        file_field="video",
        file_name=file_name,
        file_type="video/mp4",
        boundary="b0c1d2e3f4a5968778695a4b3c2d1e0f",
    )
    body = frame.head + content + frame.tail
    assert len(body) == frame.content_length(len(content))
    parts = parse(frame.content_type, body)
    assert [name for name, _, _ in parts] == ["chat_id", "caption", "video"]
    assert parts[0][2] == b"-100"
    # The judge, as MIME asks, may rewrite line ends inside text; the bytes themselves are looked for in the body.
    assert b'name="caption"\r\n\r\n' + caption.encode() + b"\r\n--" in body
    assert b"\r\n\r\n" + content + b"\r\n--" in body
    assert [fields["name"] for fields in as_the_bot_api_server_reads_it(frame.head)] == ["chat_id", "caption", "video"]


def as_the_bot_api_server_reads_it(head: bytes) -> list[dict[str, str]]:
    """The parameters of each Content-Disposition by the rules of tdlib/td (tdnet/td/net/HttpReader.cpp): a semicolon
    ends a value wherever it stands, and the last one named so counts."""
    found = []
    for line in re.findall(rb"--b0[0-9a-f]{30}\r\nContent-Disposition: form-data;([^\r]*)\r\n", head):
        pairs = (part.partition("=") for part in line.decode().split(";"))
        found.append({key.strip(" \t"): value.strip(" \t").strip('"') for key, sign, value in pairs if sign})
    return found


@given(file_name=st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=40) | hostile)
def test_the_file_name_arrives_as_it_was(file_name: str) -> None:
    frame = frame_file([], file_field="document", file_name=file_name, file_type="a/b", boundary="b" * 32)
    quoted = frame.head.decode().partition('filename="')[2].partition('"\r\n')[0]
    assert unquote(quoted) == unquote(file_name)
    assert "\r" not in quoted
    assert "\n" not in quoted


@given(
    pictures=st.dictionaries(st.sampled_from(["thumbnail", "cover"]), st.binary(max_size=200)),
    caption=texts | hostile,
    file_name=texts | hostile,
    content=st.binary(max_size=200),
)
def test_the_length_is_exact_and_every_part_whole_whatever_is_sent_along(
    pictures: dict[str, bytes], caption: str, file_name: str, content: bytes
) -> None:
    frame = frame_file(
        [("caption", caption)],
        file_field="video",
        file_name=file_name,
        file_type="video/mp4",
        boundary="b0c1d2e3f4a5968778695a4b3c2d1e0f",
        attached=[AttachedFile(name, len(picture)) for name, picture in pictures.items()],
    )
    before = [head + picture for head, picture in zip(frame.before, pictures.values(), strict=True)]
    body = b"".join(before) + frame.head + content + frame.tail
    assert len(body) == frame.content_length(len(content))
    names = [name for name, _, _ in parse(frame.content_type, body)]
    assert names == ["caption", *pictures, *(f"attached_{name}" for name in pictures), "video"]
    for name, picture in pictures.items():
        assert f'name="{name}"\r\n\r\nattach://attached_{name}\r\n--'.encode() in body
        assert f'filename="{name}.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'.encode() + picture + b"\r\n--" in body
