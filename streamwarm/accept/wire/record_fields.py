"""Types of fields that records have: ETags, references, and places in the order of records. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from attrs import frozen

from streamwarm.accept.wire.fields import Field, FieldError, Text
from streamwarm.backlog.records import RecordPlace
from streamwarm.send.destination import MAX_REFERENCE_CHARS

MAX_ERROR_CHARACTERS = 1000
"""A sender's words on why a reference did not work. Telegram's own have under 200."""

_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,12000}={0,2}")
"""A key of 1,024 bytes, each written as `\\u0001`, and base64's third on top of it."""


@frozen(kw_only=True)
class Etag(Text):
    """An ETag. The checked value is unquoted and without `W/`: a weak one names the same version.

    The schema cannot express that something is left within the quotes, nor that it is printable ASCII.
    """

    def check(self, name: str, value: object) -> str:
        text = unquoted_etag(super().check(name, value))
        if not 1 <= len(text) <= MAX_REFERENCE_CHARS or not re.fullmatch("[ -~]+", text):
            raise FieldError(f"{name} must be an ETag: 1 to {MAX_REFERENCE_CHARS} printable ASCII characters")
        return text

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": MAX_REFERENCE_CHARS + len('W/""')}


def unquoted_etag(text: str) -> str:
    """An ETag without quotes and `W/`, as records keep it."""
    text = text.strip().removeprefix("W/")
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


@frozen(kw_only=True)
class Reference(Field):
    """A text that a destination gave, such as a `file_id`: printable ASCII without spaces."""

    def check(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(rf"[!-~]{{1,{MAX_REFERENCE_CHARS}}}", value):
            raise FieldError(
                f"{name} must be text of 1 to {MAX_REFERENCE_CHARS} printable ASCII characters without spaces"
            )
        return value

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^[!-~]{{1,{MAX_REFERENCE_CHARS}}}$"}


@frozen(kw_only=True)
class Words(Text):
    """A short text for the log. The checked value is cut off at `MAX_ERROR_CHARACTERS`; that is not an error."""

    def check(self, name: str, value: object) -> str:
        return super().check(name, value)[:MAX_ERROR_CHARACTERS]


@frozen(kw_only=True)
class Cursor(Field):
    """A place in the order of records, as `next` wrote it. The checked value is a `RecordPlace`.

    The schema cannot express that the text is one that `next` had.
    """

    def check(self, name: str, value: object) -> RecordPlace:
        place = _place_of(value) if isinstance(value, str) and _CURSOR.fullmatch(value) else None
        if place is None:
            raise FieldError(f"{name} must be `next` of the page before, or be left out for the first page")
        return place

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_CURSOR.pattern}$"}


def cursor_text(place: RecordPlace) -> str:
    """The place as an opaque text of URL-safe characters."""
    return base64.urlsafe_b64encode(json.dumps(list(place), separators=(",", ":")).encode()).decode().rstrip("=")


def _place_of(text: str) -> RecordPlace | None:
    text = text.rstrip("=")
    try:
        parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(parts, list) or len(parts) != 4 or not all(isinstance(part, str) for part in parts):
            return None
        for part in parts:
            part.encode()  # half a surrogate pair cannot be compared in the store
    except (ValueError, RecursionError, binascii.Error):
        return None
    return RecordPlace(*parts) if not any("\0" in part for part in parts) else None
