"""JSON as strangers send it, read strictly; JSON as streamwarm answers, written so that it can always be
sent.

Python's `json` takes more than JSON (NaN, Infinity, repeated keys) and integers of any length, and lets a
hostile text overflow the interpreter's stack, here or later where the value is written again. What is let
in is what any store, any database column and any other language can hold (I-JSON, RFC 7493).
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 32
"""The contract needs four levels (params, jobs, job, options); the rest is room for a destination's own
options."""

MAX_INTEGER = 2**63 - 1
"""What an SQLite or PostgreSQL integer column holds."""


class BadJsonError(ValueError):
    """The text is not JSON that streamwarm takes; the message says why."""


def parse_json(text: str | bytes) -> Any:
    """The value that `text` holds. Raises `BadJsonError`, and nothing else, whatever the text."""
    try:
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise BadJsonError(f"nested deeper than {MAX_DEPTH} levels") from None
    except BadJsonError:
        raise
    except json.JSONDecodeError as error:
        raise BadJsonError(f"{error.msg} at character {error.pos}") from None
    except UnicodeDecodeError:
        raise BadJsonError("not UTF-8") from None
    if _is_deeper_than(value, MAX_DEPTH):
        raise BadJsonError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def json_text(value: object) -> str:
    """`value` as compact ASCII: a lone surrogate that a client sent is escaped, where UTF-8 could not
    encode it."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
"""`json.dumps` makes one a call, which takes nearly as long as an event's text."""


def _integer(digits: str) -> int | float:
    # Twenty characters hold every 64-bit integer; int() itself stops at 4300 digits, with another error. A longer one
    # is what it is to most programs, a double: one job's number must not refuse the others of its push.
    if len(digits) > 20 or abs(number := int(digits)) > MAX_INTEGER:
        return _number(digits)
    return number


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise BadJsonError("a number is outside the range of a double")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise BadJsonError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJsonError("an object names a key twice")
    return members


def _is_deeper_than(value: object, depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [member for item in containers for member in (item.values() if isinstance(item, dict) else item)]
    return True
