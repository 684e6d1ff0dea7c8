"""Single fields of jobs and of params: one check each, with the message that a user mends the field by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from streamwarm.accept.wire.json_text import MAX_INTEGER
from streamwarm.model import Kind, State

MAX_KEY_BYTES = 1024
"""The longest object name R2 takes (https://developers.cloudflare.com/r2/platform/limits/)."""

MAX_ID_CHARACTERS = 128

LATEST = 253_402_300_799
"""The last second of the year 9999, after which RFC 3339 has no times."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class FieldError(ValueError):
    """A field is not what it must be; the message names it and what is allowed."""


def shown(text: str) -> str:
    """A stranger's text fit for a message: quoted, ASCII, short."""
    return ascii(text if len(text) <= 64 else f"{text[:64]}…")


def text_field(members: Mapping[str, Any], name: str) -> str:
    """The required, non-empty string `name`."""
    if name not in members:
        raise FieldError(f"{name} is missing")
    value = members[name]
    if not isinstance(value, str) or not value:
        raise FieldError(f"{name} must be a non-empty string")
    if not is_unicode(value):
        raise FieldError(f"{name} holds a lone surrogate, which UTF-8 cannot hold")
    return value


def is_unicode(text: str) -> bool:
    """False for text with half of a surrogate pair in it, which JSON can write and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def integer_field(members: Mapping[str, Any], name: str, *, at_most: int = MAX_INTEGER) -> int | None:
    """The optional whole number `name`, from 0 to `at_most`; null is as good as absent. To JSON 5.0 is one too."""
    value = members.get(name)
    if value is None:
        return None
    if type(value) is float and value.is_integer() and value <= 2**53:  # beyond it a double skips numbers
        value = int(value)
    if type(value) is not int or not 0 <= value <= at_most:
        raise FieldError(f"{name} must be a whole number from 0 to {at_most}")
    return value


def kind_field(members: Mapping[str, Any]) -> Kind:
    name = text_field(members, "kind")
    if name not in frozenset(Kind):
        raise FieldError(f"kind {shown(name)} is unknown; allowed: {', '.join(Kind)}")
    return Kind(name)


def state_field(members: Mapping[str, Any]) -> State | None:
    if members.get("state") is None:
        return None
    name = text_field(members, "state")
    if name not in frozenset(State):
        raise FieldError(f"state {shown(name)} is unknown; allowed: {', '.join(State)}")
    return State(name)


def id_field(members: Mapping[str, Any]) -> str:
    return checked_id(text_field(members, "id"))


def checked_id(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARACTERS or not value.isprintable():
        raise FieldError(f"id must be a string of 1 to {MAX_ID_CHARACTERS} printable characters")
    return value


def key_field(members: Mapping[str, Any]) -> str:
    """`r2_key`: any text is a legal object name, `..` and `%2F` among it, as long as R2 could hold it."""
    return checked_key(text_field(members, "r2_key"))


def checked_key(key: str) -> str:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise FieldError("r2_key must be Unicode text; it has a lone surrogate, which UTF-8 cannot hold") from None
    if size > MAX_KEY_BYTES:
        raise FieldError(f"r2_key must be at most {MAX_KEY_BYTES} bytes of UTF-8; it has {size}")
    if "\0" in key:
        raise FieldError("r2_key must not contain NUL")
    return key


def sha256_field(members: Mapping[str, Any]) -> str | None:
    """The optional digest, in lower case; null is as good as absent."""
    value = members.get("sha256")
    if value is None:
        return None
    if not isinstance(value, str) or not is_sha256(value):
        raise FieldError("sha256 must be 64 hexadecimal digits")
    return value.lower()


def time_field(members: Mapping[str, Any], name: str) -> float | None:
    """The optional time `name`, RFC 3339 text or Unix seconds, as Unix seconds; null is as good as absent."""
    value = members.get(name)
    if value is None:
        return None
    at = parse_rfc3339(value) if isinstance(value, str) else value
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= LATEST:
        raise FieldError(f"{name} must be a time: RFC 3339 such as 2026-01-02T03:04:05Z, or Unix seconds")
    return float(at)


def parse_rfc3339(text: str) -> float | None:
    """Unix seconds, or None if `text` is no time of RFC 3339 (section 5.6)."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        return None


def is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def refuse_unknown(members: Mapping[str, Any], allowed: tuple[str, ...], what: str) -> None:
    """Raise `FieldError` if `members` has a key outside `allowed`: a typing error must not pass for a
    default."""
    for name in members:
        if name not in allowed:
            raise FieldError(f"{what} has an unknown key {shown(name)}; allowed: {', '.join(allowed) or 'none'}")
