"""Field types that contain other values: arrays, and a destination's options. Pure."""

from __future__ import annotations

import json
from typing import Any

from attrs import field, frozen

from streamwarm.accept.wire.fields import Field, FieldError
from streamwarm.backlog.store import RefusalCode
from streamwarm.model import JsonObject

MAX_OPTIONS_BYTES = 16 * 1024
"""The size of a job's options as JSON. Telegram's longest caption is 1024 characters. Options are stored with every
job, so they must not carry files."""


@frozen(kw_only=True)
class Array(Field):
    """An array of at most `at_most` items. If `items` is None, the items are checked later, one by one.

    In messages, `of` names the items and `item` one of them. `remedy` follows the message that there are too many.
    """

    at_most: int
    of: str
    item: str = "id"
    items: Field | None = None
    remedy: str = ""
    examples: tuple[Any, ...] = field(default=())

    def check(self, name: str, value: object) -> list[Any]:
        if value is None:
            raise self.missing(name)
        if not isinstance(value, list) or len(value) > self.at_most:
            raise FieldError(f"{name} must be an array of at most {self.at_most} {self.of}{self.remedy}")
        return value if self.items is None else [self.items.check(self.item, item) for item in value]

    def rule(self) -> dict[str, Any]:
        items = {} if self.items is None else self.items.schema()
        examples = {"examples": list(self.examples)} if self.examples else {}
        return {"type": "array", "maxItems": self.at_most, "items": items, **examples}


@frozen(kw_only=True)
class Options(Field):
    """A destination's own options. The schema cannot express their size, nor that text has no lone surrogate."""

    def check(self, name: str, value: object) -> JsonObject:
        if not isinstance(value, dict):
            raise _bad_options(f"{name} must be an object")
        try:
            size = len(json.dumps(value, ensure_ascii=False).encode())
        except UnicodeEncodeError:
            raise _bad_options(f"{name} contain a lone surrogate, which UTF-8 cannot encode") from None
        if size > MAX_OPTIONS_BYTES:
            raise _bad_options(f"{name} must be at most {MAX_OPTIONS_BYTES} bytes of JSON")
        return value

    def rule(self) -> dict[str, Any]:
        return {"type": "object"}


def _bad_options(message: str) -> FieldError:
    return FieldError(message, code=RefusalCode.INVALID_OPTIONS)
