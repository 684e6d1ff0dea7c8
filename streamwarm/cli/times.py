"""Parses and formats times for users. Pure: the current time is passed in (Unix seconds)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(?:\d{1,9}[smhd])+", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d+)?", re.ASCII)


class BadTime(ValueError):
    """The text is not a time. The message says what is allowed."""


def parse_time(text: str, now: float) -> float:
    """Unix seconds, from a duration from now (`90s`, `10m`, `1h30m`, `2d`), an RFC 3339 time or Unix seconds.

    Raises `BadTime`. A time without an offset is refused, because the service may be in another time zone.
    """
    if _DURATION.fullmatch(text):
        return now + sum(int(n) * _UNITS_S[unit] for n, unit in re.findall(r"(\d+)([smhd])", text))
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadTime(f"{text!r} is not a time; give 10m, 2h30m, 2026-01-02T18:00:00Z or Unix seconds") from None
    if at.tzinfo is None:
        raise BadTime(f"{text!r} has no time zone; add Z for UTC, or an offset such as +02:00")
    return at.timestamp()


def parse_future(text: str, now: float) -> float:
    """`parse_time`, but raises `BadTime` for a time in the past too."""
    at = parse_time(text, now)
    if at <= now:
        raise BadTime(f"{text!r} is in the past; give a future time, such as 10m")
    return at


def format_time(text: str | None) -> str:
    """A time from the service (RFC 3339, UTC) in the user's own time zone, to the second."""
    if text is None:
        return "it is resumed"
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339. Raises `BadTime` beyond the year 9999."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        raise BadTime("a time must be before the year 10000") from None
