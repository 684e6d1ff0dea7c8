"""`multipart/form-data` around one streamed file: the bytes before it, the bytes after it, and the exact length.

Pure. RFC 7578, with names escaped as browsers do (https://html.spec.whatwg.org/#multipart-form-data) and one character
more, so that a hostile file name or caption never becomes another header or field.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A", ";": "%3B"})
"""The semicolon is not in the standard. The Bot API server ends a parameter there even between quotes
(tdlib/td, tdnet/td/net/HttpReader.cpp), so a file called `a; name=thumbnail; b` would arrive as another field."""


@frozen
class Frame:
    """The bytes before and after the file's, and the form's content type."""

    head: bytes
    tail: bytes
    content_type: str

    def content_length(self, file_bytes: int) -> int:
        """Return the exact length of the whole request body for a file of this size."""
        return len(self.head) + file_bytes + len(self.tail)


def frame_file(
    fields: Iterable[tuple[str, str]],
    *,
    file_field: str,
    file_name: str,
    file_type: str,
    boundary: str,
) -> Frame:
    """Return the frame for a file that is the form's last field, after plain text fields.

    `boundary` must be random (128 bits or more): the file's bytes are not searched for it.
    """
    head = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escape(name)}"\r\n\r\n'.encode()
        + value.encode()
        + b"\r\n"
        for name, value in fields
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escape(file_field)}"; '
        f'filename="{_escape(file_name)}"\r\nContent-Type: {file_type}\r\n\r\n'
    ).encode()
    return Frame(head, f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def _escape(name: str) -> str:
    return name.translate(_ESCAPES)
