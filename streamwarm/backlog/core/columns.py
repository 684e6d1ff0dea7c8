"""Reads one column of a row and checks it, whatever the database's own constraints say. Raises `Odd`. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from streamwarm.backlog.core.deadlines import LATEST_S
from streamwarm.backlog.core.odd import Odd, Row
from streamwarm.model import JsonObject

_DEEPEST = 64
"""Levels of nesting in a stored object. Ours have few (`accept.wire.json_text`); more could not be written again."""


def text(row: Row, column: str) -> str:
    value = row[column]
    if type(value) is not str:
        raise Odd(f"{column} is {_named(value)}, not text")
    if not value.isascii():
        _check_utf8(value, column)
    return value


def text_or_none(row: Row, column: str) -> str | None:
    return None if row[column] is None else text(row, column)


def integer(row: Row, column: str, least: float = 0) -> int:
    value = row[column]
    if type(value) is not int:
        raise Odd(f"{column} is {_named(value)}, not a whole number")
    if value < least:
        raise Odd(f"{column} is negative")
    return value


def integer_or_none(row: Row, column: str) -> int | None:
    return None if row[column] is None else integer(row, column)


def time(row: Row, column: str) -> float:
    """Unix seconds, between the years 1970 and 9999."""
    value = row[column]
    if type(value) is not float and type(value) is not int:
        raise Odd(f"{column} is {_named(value)}, not a time")
    if not 0 <= value <= LATEST_S:  # NaN is neither
        raise Odd(f"{column} is not a time between 1970 and 9999")
    return value


def time_or_none(row: Row, column: str) -> float | None:
    return None if row[column] is None else time(row, column)


def flag(row: Row, column: str) -> bool:
    value = row[column]
    if value is not True and value is not False and (type(value) is not int or value not in (0, 1)):
        raise Odd(f"{column} is neither true nor false")
    return bool(value)


def json_object(row: Row, column: str) -> JsonObject:
    return parse_object(text(row, column), column)


def object_or_none(row: Row, column: str) -> JsonObject | None:
    return None if row[column] is None else json_object(row, column)


def parse_object(written: str, column: str) -> JsonObject:
    """The JSON object in this text. Members that this version does not know are kept."""
    try:
        value = _DECODER.decode(written)
    except (ValueError, RecursionError):
        raise Odd(f"{column} has damaged JSON") from None
    if not isinstance(value, Mapping):
        raise Odd(f"{column} has JSON that is not an object")
    if written.count("[") + written.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
        raise Odd(f"{column} has JSON that is nested too deep")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= _DEEPEST:
        depth += 1
        containers = (item for item in level if isinstance(item, dict | list))
        level = [member for item in containers for member in (item.values() if isinstance(item, dict) else item)]
    return depth


def _check_utf8(value: str, column: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Odd(f"{column} is not UTF-8") from None


def _named(value: object) -> str:
    if value is None:
        return "empty"
    return {bytes: "binary", str: "text", float: "a fraction", int: "a number"}.get(type(value), type(value).__name__)
