"""Kinds of plain fields: each checks a value, and gives the same rule as JSON Schema (2020-12).

`table.py` builds every request from these. A rule that JSON Schema cannot say is named in the docstring of its kind;
a property test compares the two for every field of the table.
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
"""The last second of the year 9999, after which RFC 3339 has no times."""

_EXACT_IN_A_DOUBLE = 2**53
"""Above this, a double cannot hold every whole number, so the one it holds may not be the one that was sent."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class FieldError(ValueError):
    """A field breaks its rule; the message names the field and what is allowed.

    `code` is the contract's code for a job that is refused because of it.
    """

    def __init__(self, message: str, *, code: RefusalCode = RefusalCode.INVALID_JOB) -> None:
        super().__init__(message)
        self.code = code


def ref(name: str) -> dict[str, Any]:
    """A reference to the schema `name` among the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: JsonObject) -> dict[str, Any]:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def shown(text: str) -> str:
    """A client's text made fit for a message: quoted, ASCII, short."""
    return ascii(text if len(text) <= 64 else f"{text[:64]}…")


@frozen(kw_only=True)
class Field(ABC):
    """One field of an object.

    Without `required`, null means the same as absent, and the value is then `default`; without `nullable`, null is an
    error too. `hint` follows the message that a required field is missing. `component`: the name of the schema among
    the components of both documents.
    """

    required: bool = False
    nullable: bool = True
    default: Any = None
    description: str = ""
    hint: str = ""
    component: str = ""

    @abstractmethod
    def check(self, name: str, value: object) -> Any:
        """The value as the service uses it. Raises `FieldError`, which calls the field `name`."""

    @abstractmethod
    def rule(self) -> dict[str, Any]:
        """The JSON Schema of a value that is there."""

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
        """The JSON Schema of a value that is there, by reference if it is a component."""
        return ref(self.component) if self.component else self.rule()

    def member(self) -> dict[str, Any]:
        """The JSON Schema of the field in its object, where it may be null and has a description and a default."""
        schema = self.schema()
        if self.nullable and not self.required:
            schema = or_null(schema)
        if self.default is not None:
            schema["default"] = self.default
        return schema | ({"description": self.description} if self.description else {})


@frozen(kw_only=True)
class Text(Field):
    """A non-empty string. No schema says: it holds no lone surrogate."""

    def check(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise FieldError(f"{name} must be a non-empty string")
        if not is_unicode(value):
            raise FieldError(f"{name} holds a lone surrogate, which UTF-8 cannot hold")
        return value

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


def is_unicode(text: str) -> bool:
    """False if `text` has half of a surrogate pair in it, which JSON can write and UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


@frozen(kw_only=True)
class Word(Field):
    """One of the words of an enum. `code` is that of a job with another word."""

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
    """A job's id. No schema says: printable characters outside ASCII are taken too."""

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
            "description": "Printable characters; others than ASCII are taken too.",
        }


@frozen(kw_only=True)
class Key(Text):
    """An object's name: any text, `..` and `%2F` too. No schema says: its size counts in bytes, and it has no NUL."""

    def check(self, name: str, value: object) -> str:
        return check_key(name, super().check(name, value))

    def rule(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES}


def check_key(name: str, key: str) -> str:
    """`key`, if R2 could hold an object of that name. Raises `FieldError`."""
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise FieldError(f"{name} must be at most {MAX_KEY_BYTES} bytes of UTF-8; it has {size}")
    if "\0" in key:
        raise FieldError(f"{name} must not contain NUL")
    return key


@frozen(kw_only=True)
class Digest(Field):
    """A SHA-256 in hexadecimal; the value is in lower case."""

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
    """A whole number; JSON's 5.0 is one too. No schema says: a number written as a float is at most 2**53."""

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
    """A time, RFC 3339 text or Unix seconds; the value is Unix seconds. No schema says: text is not before 1970."""

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
    """Unix seconds, or None if `text` is not a time as RFC 3339 (section 5.6) writes it."""
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
