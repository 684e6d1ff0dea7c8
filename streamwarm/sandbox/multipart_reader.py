"""A streaming reader of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): bytes in, events out, no I/O.

A body is parts between delimiters, and a delimiter is CRLF, two hyphens and the boundary. Content is not searched byte
by byte: `bytes.find` searches each piece for the whole delimiter, and only the start of a delimiter at a piece's end is
kept for the next piece. A boundary has no CR, so a delimiter that spans two pieces can only start at the last CR of the
first. So what is kept is shorter than a delimiter inside content, and bounded by `MAX_HEADER_BYTES` outside of it. A 2
GB upload is read in constant memory, and content is returned as views of the caller's own piece.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import unquote

from attrs import frozen

MAX_HEADER_BYTES = 16 * 1024
"""The longest header block of a part. Real ones have about 200 bytes; a file name may have 1024 characters."""

MAX_BOUNDARY_BYTES = 70
"""The longest boundary (RFC 2046, section 5.1.1)."""

_MAX_PADDING_BYTES = 256
_PARAMETER = re.compile(r';[ \t]*([A-Za-z*]+)=("(?:[^"\\]|\\.)*"|[^\s;"]*)[ \t]*')
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_QUOTED_PAIR = re.compile(r'\\(["\\])')
_FORM_ESCAPES = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))


class MalformedMultipartError(ValueError):
    """The body is not `multipart/form-data`. The message says what is wrong."""


@frozen
class PartStarted:
    """A part's headers. `file_name` is None for a plain field."""

    name: str
    file_name: str | None
    content_type: str | None


@frozen
class PartData:
    """Some of the current part's content, in order. It is a view of the piece that was fed."""

    data: memoryview


@frozen
class PartEnded:
    """The current part is complete."""


PartEvent = PartStarted | PartData | PartEnded


class _State(Enum):
    CONTENT = "content"
    DELIMITED = "delimited"
    HEADERS = "headers"
    EPILOGUE = "epilogue"


class MultipartReader:
    """Takes a body in pieces of any size and returns the events that each piece completes."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._state = _State.CONTENT
        self._in_part = False
        # The first delimiter has no CRLF of its own when the body starts with it.
        self._held = b"\r\n"

    def feed(self, piece: bytes) -> list[PartEvent]:
        """Return the events of one more piece. Raises `MalformedMultipartError`; the reader cannot be used after
        that."""
        buffer = self._held + piece if self._held else piece
        self._held = b""
        events: list[PartEvent] = []
        position: int | None = 0
        while position is not None:
            match self._state:
                case _State.CONTENT:
                    position = self._read_content(buffer, position, events)
                case _State.DELIMITED:
                    position = self._read_rest_of_delimiter(buffer, position)
                case _State.HEADERS:
                    position = self._read_headers(buffer, position, events)
                case _State.EPILOGUE:
                    position = None
        return events

    def finish(self) -> None:
        """Raise `MalformedMultipartError` unless the closing delimiter was read: otherwise the body is incomplete."""
        if self._state is not _State.EPILOGUE:
            raise MalformedMultipartError("the body ends before its closing boundary")

    def _read_content(self, buffer: bytes, start: int, events: list[PartEvent]) -> int | None:
        found = buffer.find(self._delimiter, start)
        end = found if found >= 0 else self._possible_delimiter(buffer, start)
        if self._in_part and end > start:
            events.append(PartData(memoryview(buffer)[start:end]))
        if found < 0:
            self._held = buffer[end:]
            return None
        if self._in_part:
            events.append(PartEnded())
            self._in_part = False
        self._state = _State.DELIMITED
        return found + len(self._delimiter)

    def _possible_delimiter(self, buffer: bytes, start: int) -> int:
        candidate = buffer.rfind(b"\r", max(start, len(buffer) - len(self._delimiter) + 1))
        if candidate >= 0 and self._delimiter.startswith(buffer[candidate:]):
            return candidate
        return len(buffer)

    def _read_rest_of_delimiter(self, buffer: bytes, start: int) -> int | None:
        if buffer.startswith(b"--", start):
            self._state = _State.EPILOGUE
            return None
        end = buffer.find(b"\r\n", start)
        if end < 0:
            self._hold(buffer, start, _MAX_PADDING_BYTES)
            return None
        if buffer[start:end].strip(b" \t"):
            raise MalformedMultipartError("a boundary is followed by something other than a line's end")
        self._state = _State.HEADERS
        return end

    def _read_headers(self, buffer: bytes, start: int, events: list[PartEvent]) -> int | None:
        end = buffer.find(b"\r\n\r\n", start, start + MAX_HEADER_BYTES)
        if end < 0:
            self._hold(buffer, start, MAX_HEADER_BYTES)
            return None
        events.append(_part_started(buffer[start + 2 : end]))
        self._state = _State.CONTENT
        self._in_part = True
        return end + 4

    def _hold(self, buffer: bytes, start: int, limit: int) -> None:
        if len(buffer) - start >= limit:
            raise MalformedMultipartError(f"a part's header exceeds {limit} bytes")
        self._held = buffer[start:]


def boundary_of(content_type: str) -> bytes:
    """Return the boundary in a `Content-Type` header. Raises `MalformedMultipartError` if it has none that is
    allowed."""
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2]).encode("latin-1", "replace") if found else b""
    if not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise MalformedMultipartError(f"the Content-Type names no boundary of 1 to {MAX_BOUNDARY_BYTES} bytes")
    return boundary


def _part_started(block: bytes) -> PartStarted:
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or not name or name.strip() != name or any(mark in line for mark in "\r\n\0"):
            raise MalformedMultipartError("a part has a header line that is not 'Name: value'")
        headers[name.lower()] = value.strip()
    disposition = _parameters(headers.get("content-disposition", ""))
    if "name" not in disposition:
        raise MalformedMultipartError("a part has no Content-Disposition with a name")
    return PartStarted(disposition["name"], _file_name(disposition), headers.get("content-type"))


def _file_name(disposition: dict[str, str]) -> str | None:
    extended = disposition.get("filename*")
    if extended is None:
        return disposition.get("filename")
    charset, _, encoded = extended.partition("'")
    if charset.lower() != "utf-8":
        raise MalformedMultipartError("a part's filename* is not in UTF-8")
    return unquote(encoded.partition("'")[2])


def _parameters(disposition: str) -> dict[str, str]:
    """Read the header's parameters strictly: remains and repeated names can smuggle in a form field.

    So can a semicolon between quotes: the Bot API server ends the value there (tdnet/td/net/HttpReader.cpp).
    """
    kind, semicolon, rest = disposition.partition(";")
    if kind.strip().lower() != "form-data":
        raise MalformedMultipartError("a part's Content-Disposition is not form-data")
    rest = semicolon + rest
    parameters: dict[str, str] = {}
    position = 0
    while position < len(rest):
        found = _PARAMETER.match(rest, position)
        if found is None or found[1].lower() in parameters:
            raise MalformedMultipartError("a part's Content-Disposition has a broken or repeated parameter")
        if ";" in found[2]:
            raise MalformedMultipartError("a part's Content-Disposition has a semicolon within a value")
        parameters[found[1].lower()] = _unquoted(found[2])
        position = found.end()
    return parameters


def _unquoted(value: str) -> str:
    """Undo both escapes in use: backslashes (RFC 2045) and the three percent codes of HTML forms (WHATWG)."""
    if not value.startswith('"'):
        return value
    value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    for escape, character in _FORM_ESCAPES:
        value = value.replace(escape, character)
    return value
