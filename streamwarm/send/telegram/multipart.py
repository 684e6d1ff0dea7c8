"""`multipart/form-data` around streamed files: the bytes before each, the bytes after the last, and the exact length.

Pure. RFC 7578, with names escaped as browsers do (https://html.spec.whatwg.org/#multipart-form-data) and one character
more, so that a hostile file name or caption never becomes another header or field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A", ";": "%3B"})
"""The semicolon is not in the standard. The Bot API server ends a parameter there even between quotes
(tdlib/td, tdnet/td/net/HttpReader.cpp), so a file called `a; name=thumbnail; b` would arrive as another field."""


@frozen
class AttachedFile:
    """A picture that is sent along with the file: the option that it is the value of, and its exact size."""

    name: str
    bytes: int


@frozen
class Frame:
    """The bytes before and after the file's, and the form's content type.

    `before` are the bytes before each attached file, in order; those come before the file itself.
    """

    head: bytes
    tail: bytes
    content_type: str
    before: tuple[bytes, ...] = ()
    attached_bytes: int = 0

    def content_length(self, file_bytes: int) -> int:
        """Return the exact length of the whole request body for a file of this size."""
        return sum(map(len, self.before)) + self.attached_bytes + len(self.head) + file_bytes + len(self.tail)


def frame_file(
    fields: Iterable[tuple[str, str]],
    *,
    file_field: str,
    file_name: str,
    file_type: str,
    boundary: str,
    attached: Sequence[AttachedFile] = (),
) -> Frame:
    """Return the frame for a file that is the form's last field, after plain text fields and JPEG pictures.

    The file is last because its last piece is the one that is withheld. `boundary` must be random (128 bits or more):
    the files' bytes are not searched for it.
    """
    references = [(one.name, f"attach://{_attached_field(one)}") for one in attached]
    texts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escape(name)}"\r\n\r\n'.encode()
        + value.encode()
        + b"\r\n"
        for name, value in [*fields, *references]
    )
    pictures = [_file_head(_attached_field(one), f"{one.name}.jpg", "image/jpeg", boundary) for one in attached]
    heads = [*pictures, _file_head(file_field, file_name, file_type, boundary)]
    first, *others = heads
    *before, head = [texts + first, *(b"\r\n" + other for other in others)]
    return Frame(
        head,
        f"\r\n--{boundary}--\r\n".encode(),
        f"multipart/form-data; boundary={boundary}",
        tuple(before),
        sum(one.bytes for one in attached),
    )


def _file_head(file_field: str, file_name: str, file_type: str, boundary: str) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escape(file_field)}"; '
        f'filename="{_escape(file_name)}"\r\nContent-Type: {file_type}\r\n\r\n'
    ).encode()


def _attached_field(one: AttachedFile) -> str:
    """The field of an attached file: none of the names that the Bot API knows."""
    return f"attached_{one.name}"


def _escape(name: str) -> str:
    return name.translate(_ESCAPES)
