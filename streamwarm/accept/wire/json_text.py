"""Reads clients' JSON strictly, and writes JSON that can always be sent. Pure.

Python's `json` accepts more than JSON (NaN, Infinity, repeated keys) and integers of any length. And a deeply nested
text can overflow the interpreter's stack, when it is read or when the value is written again. This parser accepts only
what every store, database column and language can hold (I-JSON, RFC 7493).
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 32
"""Levels of nesting. The contract needs four (params, jobs, job, options); a destination's options may use the rest."""

MAX_INTEGER = 2**63 - 1
"""The largest integer of an SQLite or PostgreSQL column."""


class BadJsonError(ValueError):
    """The text is not JSON that streamwarm accepts. The message says why."""


def parse_json(text: str | bytes) -> Any:
    """Parse `text`. Raises `BadJsonError` and nothing else, whatever the text is."""
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
    """`value` as compact ASCII JSON. Lone surrogates that a client sent are escaped; UTF-8 could not encode them."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
"""Made once. `json.dumps` makes one per call, which takes nearly as long as encoding an event."""


def _integer(digits: str) -> int | float:
    # Every 64-bit integer fits in 20 characters. int() raises another error above 4300 digits. A longer number becomes
    # a double, as in most programs: one job's number must not refuse the whole push.
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
