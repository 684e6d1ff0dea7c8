"""Types of plain fields. Each checks a value, and describes the same rule as JSON Schema (2020-12). Pure.

`table.py` builds every request from these. If JSON Schema cannot express a rule, the type's docstring names it. A
property test compares both for every field of the table.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import frozen

from streamwarm.accept.wire.json_text import MAX_INTEGER
from streamwarm.backlog.store import RefusalCode
from streamwarm.model import MAX_KEY_BYTES, JsonObject

MAX_ID_CHARACTERS = 128

LATEST = 253_402_300_799
"""The last second of the year 9999, in Unix seconds. RFC 3339 cannot write later times."""

_EXACT_IN_A_DOUBLE = 2**53
"""Above this, a double cannot represent every whole number, so it may differ from the number that was sent."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class FieldError(ValueError):
    """A field breaks its rule. The message names the field and what is allowed.

    `code` is the contract's code if a pushed job is refused for it.
    """

    def __init__(self, message: str, *, code: RefusalCode = RefusalCode.INVALID_JOB) -> None:
        super().__init__(message)
        self.code = code


def ref(name: str) -> dict[str, Any]:
    """A JSON Schema reference to the document's component `name`."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: JsonObject) -> dict[str, Any]:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def shown(text: str) -> str:
    """A client's text for use in a message: quoted, ASCII, at most 64 characters."""
    return ascii(text if len(text) <= 64 else f"{text[:64]}…")


@frozen(kw_only=True)
class Field(ABC):
    """One field of an object.

    If it is not `required`, null means absent, and the value is `default`. If it is not `nullable`, null is an error.
    `hint` follows the message that a required field is missing. `component`: the schema's name among the components of
    both documents, empty if it is not one.
    """

    required: bool = False
    nullable: bool = True
    default: Any = None
    description: str = ""
    hint: str = ""
    component: str = ""

    @abstractmethod
    def check(self, name: str, value: object) -> Any:
        """The value as the service uses it. Raises `FieldError`; its message calls the field `name`."""

    @abstractmethod
    def rule(self) -> dict[str, Any]:
        """The JSON Schema of the value itself."""

    def read(self, members: Mapping[str, Any], name: str) -> Any:
        """The checked value of `members[name]`, or the default. Raises `FieldError`."""
        value = members.get(name)
        if value is None:
            if not self.required and (self.nullable or name not in members):
                return self.default
            if name not in members:
                raise self.missing(name)
        return self.check(name, value)

    def missing(self, name: str) -> FieldError:
        return FieldError(f"{name} is missing{self.hint}")

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the value, as a reference if it is a component."""
        return ref(self.component) if self.component else self.rule()

    def member(self) -> dict[str, Any]:
        """The JSON Schema of the field inside its object: with null if allowed, its description and its default."""
        schema = self.schema()
        if self.nullable and not self.required:
            schema = or_null(schema)
        if self.default is not None:
            schema["default"] = self.default.value if isinstance(self.default, StrEnum) else self.default
        return schema | ({"description": self.description} if self.description else {})


@frozen(kw_only=True)
class Text(Field):
    """A non-empty string. The schema cannot express that it has no lone surrogate."""

    def check(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise FieldError(f"{name} must be a non-empty string")
        if not is_unicode(value):
            raise FieldError(f"{name} holds a lone surrogate, which UTF-8 cannot encode")
        return value

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


def is_unicode(text: str) -> bool:
    """False if `text` contains half of a surrogate pair. JSON can write one, UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


@frozen(kw_only=True)
class Word(Field):
    """One of the words of an enum. A job with another word is refused with `code`."""

    words: type[StrEnum]
    code: RefusalCode = RefusalCode.INVALID_JOB

    def check(self, name: str, value: object) -> StrEnum:
        if not isinstance(value, str):
            raise FieldError(f"{name} must be a non-empty string")
        if value not in frozenset(self.words):
            raise FieldError(f"{name} {shown(value)} is unknown; allowed: {', '.join(self.words)}", code=self.code)
        return self.words(value)

    def rule(self) -> dict[str, Any]:
        return {"enum": [word.value for word in self.words]}


@frozen(kw_only=True)
class Id(Field):
    """A job's id. The schema allows ASCII only; other printable characters are accepted too."""

    def check(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARACTERS or not value.isprintable():
            raise FieldError(f"{name} must be a string of 1 to {MAX_ID_CHARACTERS} printable characters")
        return value

    def rule(self) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_ID_CHARACTERS,
            "pattern": "^[ -~]+$",
            "description": "Printable characters; those outside ASCII are accepted too.",
        }


@frozen(kw_only=True)
class Key(Text):
    """An object's key: any text, even `..` and `%2F`. The schema cannot express its size in bytes, nor that it has no
    NUL."""

    def check(self, name: str, value: object) -> str:
        return check_key(name, super().check(name, value))

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES}


def check_key(name: str, key: str) -> str:
    """Return `key` if an object in R2 can have that name. Raises `FieldError` if not."""
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise FieldError(f"{name} must be at most {MAX_KEY_BYTES} bytes of UTF-8; it has {size}")
    if "\0" in key:
        raise FieldError(f"{name} must not contain NUL")
    return key


@frozen(kw_only=True)
class Digest(Field):
    """A SHA-256 in hexadecimal. The checked value is lower-case."""

    def check(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not is_sha256(value):
            raise FieldError(f"{name} must be 64 hexadecimal digits")
        return value.lower()

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_SHA256.pattern}$"}


def is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


@frozen(kw_only=True)
class Whole(Field):
    """A whole number; JSON's 5.0 is one too. The schema cannot express that a number written as a float is at most
    2**53."""

    minimum: int = 0
    maximum: int = MAX_INTEGER

    def check(self, name: str, value: object) -> int:
        if type(value) is float and value.is_integer() and value <= _EXACT_IN_A_DOUBLE:
            value = int(value)
        if type(value) is not int or not self.minimum <= value <= self.maximum:
            raise FieldError(f"{name} must be a whole number from {self.minimum} to {self.maximum}")
        return value

    def rule(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@frozen(kw_only=True)
class Time(Field):
    """A time as RFC 3339 text or Unix seconds; the checked value is Unix seconds.

    The schema cannot express that a text must not be before 1970.
    """

    def check(self, name: str, value: object) -> float:
        at = parse_rfc3339(value) if isinstance(value, str) else value
        if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= LATEST:
            raise FieldError(f"{name} must be a time: RFC 3339 such as 2026-01-02T03:04:05Z, or Unix seconds")
        return float(at)

    def rule(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": LATEST, "description": "Unix seconds."},
                {"type": "string", "format": "date-time", "description": "RFC 3339 with an offset."},
            ]
        }


def parse_rfc3339(text: str) -> float | None:
    """Unix seconds, or None if `text` is not a time of RFC 3339 (section 5.6)."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        return None


@frozen(kw_only=True)
class Flag(Field):
    """True or false."""

    def check(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise FieldError(f"{name} must be true or false")
        return value

    def rule(self) -> dict[str, Any]:
        return {"type": "boolean"}
