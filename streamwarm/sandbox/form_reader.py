"""Reads a Bot API request's parameters in every form that the Bot API takes. Files are read but not kept.

The forms (https://core.telegram.org/bots/api#making-requests): query string, `application/x-www-form-urlencoded`,
`application/json` and `multipart/form-data`. Of a file, only its digest, its size and what its header says are kept.
"""

from __future__ import annotations

import hashlib
import json
from typing import Protocol
from urllib.parse import parse_qsl

from attrs import define, field, frozen

from streamwarm.sandbox.bot_api_replies import bad_request, too_large
from streamwarm.sandbox.image_header import Image, ImageReader
from streamwarm.sandbox.movie_header import Movie, MovieReader
from streamwarm.sandbox.multipart_reader import (
    MalformedMultipartError,
    MultipartReader,
    PartData,
    PartEvent,
    PartStarted,
    boundary_of,
)

MAX_TEXT_BYTES = 1024 * 1024
"""The most that all texts of a request may have together. Captions and keyboards take a few KB."""

MAX_PARTS = 100
"""The most parts that a request may have. A send has about twenty parameters."""


@frozen
class UploadedFile:
    """A complete file. `sha256` is lower-case hex; `image` and `movie` are what it says of itself, if it is one."""

    file_name: str | None
    content_type: str | None
    sha256: str
    bytes: int
    image: Image | None = None
    movie: Movie | None = None


@frozen
class Form:
    """A request's parameters: texts by name and files by part name."""

    fields: dict[str, str]
    files: dict[str, UploadedFile]

    def part(self, name: str) -> UploadedFile | None:
        """Return the file of a parameter: the part that its `attach://` names, or without a text its own (the open
        server's `get_input_file`)."""
        reference = self.fields.get(name, "")
        if reference and not reference.startswith("attach://"):
            return None
        return self.files.get(reference.removeprefix("attach://") or name)


def number(text: str | None, default: int) -> int:
    """Return the whole number in a form's field, or `default` for anything else."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else default


def is_true(text: str | None) -> bool:
    """Return whether a form's field says yes, in one of the words that the open server knows."""
    return (text or "").strip().lower() in ("true", "yes", "1")


class FormReader(Protocol):
    """Takes a body in pieces. Both methods raise `BotApiError`."""

    def feed(self, piece: bytes) -> None: ...

    def finish(self) -> Form: ...


def form_reader(content_type: str, query: str, *, max_file_bytes: int) -> FormReader:
    """Return the reader for a body of this `Content-Type`. Raises `BotApiError` if the header or the query is
    invalid."""
    fields = _parse_pairs(query)
    if not content_type.lower().startswith("multipart/form-data"):
        return _TextForm(content_type.lower(), fields)
    try:
        boundary = boundary_of(content_type)
    except MalformedMultipartError as error:
        raise bad_request(f"can't parse the request: {error}") from error
    return _MultipartForm(MultipartReader(boundary), fields, max_file_bytes)


class FileDigest:
    """Digests a file piece by piece. Raises `BotApiError` 413 as soon as it exceeds `max_bytes`."""

    def __init__(self, file_name: str | None, content_type: str | None, *, max_bytes: int) -> None:
        self._file_name = file_name
        self._content_type = content_type
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()
        self._bytes = 0
        self._image = ImageReader()
        self._movie = MovieReader()

    def update(self, data: bytes | memoryview) -> None:
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            raise too_large()
        self._sha256.update(data)
        if not self._image.is_done:
            self._image.feed(data)
        if not self._movie.is_done:
            self._movie.feed(data)

    def result(self) -> UploadedFile:
        seen = (self._image.result(), self._movie.result())
        return UploadedFile(self._file_name, self._content_type, self._sha256.hexdigest(), self._bytes, *seen)


@define
class _TextForm:
    """A body that is JSON, urlencoded or empty."""

    _content_type: str
    _fields: dict[str, str]
    _body: bytearray = field(init=False, factory=bytearray)

    def feed(self, piece: bytes) -> None:
        if len(self._body) + len(piece) > MAX_TEXT_BYTES:
            raise too_large()
        self._body += piece

    def finish(self) -> Form:
        if self._content_type.startswith("application/json"):
            fields = _parse_json(bytes(self._body))
        elif self._content_type.startswith("application/x-www-form-urlencoded"):
            fields = _parse_pairs(self._body.decode("utf-8", "replace"))
        else:
            fields = {}
        return Form({**self._fields, **fields}, {})


@define
class _MultipartForm:
    """A body of parts. A part with a file name is a file, one without is a field."""

    _reader: MultipartReader
    _fields: dict[str, str]
    _max_file_bytes: int
    _files: dict[str, UploadedFile] = field(init=False, factory=dict)
    _parts: int = field(init=False, default=0)
    _text_bytes: int = field(init=False, default=0)
    _name: str = field(init=False, default="")
    _file: FileDigest | None = field(init=False, default=None)
    _text: bytearray = field(init=False, factory=bytearray)

    def feed(self, piece: bytes) -> None:
        try:
            events = self._reader.feed(piece)
        except MalformedMultipartError as error:
            raise bad_request(f"can't parse the request: {error}") from error
        for event in events:
            self._take(event)

    def finish(self) -> Form:
        try:
            self._reader.finish()
        except MalformedMultipartError as error:
            raise bad_request(f"can't parse the request: {error}") from error
        return Form(self._fields, self._files)

    def _take(self, event: PartEvent) -> None:
        if isinstance(event, PartData):
            self._take_data(event.data)
        elif isinstance(event, PartStarted):
            self._start_part(event)
        elif self._file is not None:
            self._files[self._name] = self._file.result()
        else:
            self._fields[self._name] = self._text.decode("utf-8", "replace")

    def _start_part(self, part: PartStarted) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise too_large()
        self._name = part.name
        self._text.clear()
        self._file = None
        if part.file_name is not None:
            self._file = FileDigest(part.file_name, part.content_type, max_bytes=self._max_file_bytes)

    def _take_data(self, data: memoryview) -> None:
        if self._file is not None:
            self._file.update(data)
            return
        self._text_bytes += len(data)
        if self._text_bytes > MAX_TEXT_BYTES:
            raise too_large()
        self._text += data


def _parse_pairs(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARTS))
    except ValueError as error:
        raise bad_request("can't parse the request: too many parameters") from error


def _parse_json(body: bytes) -> dict[str, str]:
    """Return the members as texts. One that is not a text becomes its JSON, as at the Bot API itself."""
    try:
        members = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise bad_request("can't parse the request: invalid JSON") from error
    if not isinstance(members, dict) or len(members) > MAX_PARTS:
        raise bad_request(f"can't parse the request: expected a JSON object of at most {MAX_PARTS} members")
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in members.items()
        if value is not None
    }
