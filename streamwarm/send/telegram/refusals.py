"""Reads a refusal of the Bot API as an error, by `refusal_table`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from streamwarm.errors import LONGEST_WAIT_S, DestinationError, ErrorCode, LaneMoved
from streamwarm.redact import knows_no_secrets, quote
from streamwarm.send.destination import UNAUTHORIZED_PAUSE_S
from streamwarm.send.telegram.refusal_table import Verdict, row_of

CHAT_SET_ASIDE_S = 3600.0
"""How often a chat that is set aside is tried again. Each try costs a whole upload; a person who has fixed the chat can
use `streamwarm resume` instead of waiting."""

CHAT_WINDOW_S = 3600.0
"""A chat's own limits explain a wait below this: a group in slow mode takes a member's next message an hour after
the last one at most (https://core.telegram.org/method/channels.toggleSlowMode). A longer one is a penalty of unknown
cause, so the whole bot pauses, as python-telegram-bot does after every 429 (`AIORateLimiter`). A shorter one may be the
bot's too: `Limits.cool_down_lane` finds that out at the cost of one more refusal."""

_WAIT = re.compile(r"(?:flood_wait_|slowmode_wait_|flood_premium_wait_|retry after )([0-9]{1,9})")


def read_error(
    status: int,
    answer: Mapping[str, Any],
    *,
    retry_after: str | None = None,
    redact: Callable[[str], str] = knows_no_secrets,
) -> DestinationError:
    """Return the error for a refusal. `retry_after` is that header; `redact` masks the secrets in its words."""
    code = answer.get("error_code")
    code = code if type(code) is int else status
    description = given if isinstance(given := answer.get("description"), str) else ""
    row = row_of(code, description)
    said = f"Telegram answered {code}: {quote(description, redact)}" if description else f"Telegram answered {code}"
    said = f"{said}; {row.remedy}" if row.remedy else said
    parameters = answer.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    if code != 429 and (new_id := _chat_id(parameters.get("migrate_to_chat_id"))) is not None:
        return LaneMoved(said, new_id, retry_after_s=CHAT_SET_ASIDE_S)
    match row.verdict:
        case Verdict.COOLDOWN:
            return _rate_limited(said, _seconds(parameters.get("retry_after"), description), retry_after)
        case Verdict.PAUSE_CHAT | Verdict.MIGRATE:  # moved, and nobody says where to
            return _chat_unavailable(said)
        case Verdict.PAUSE_KIND:
            return DestinationError(row.error, said, retry_after_s=CHAT_SET_ASIDE_S, counts=False, pauses_kind=True)
        case Verdict.UNKNOWN:
            return DestinationError(row.error, said, permanent=False, is_unclear=True)
        case Verdict.PAUSE_BOT:
            return DestinationError(
                row.error, said, retry_after_s=UNAUTHORIZED_PAUSE_S, counts=False, pauses_destination=True
            )
        case verdict:
            return DestinationError(row.error, said, permanent=verdict is Verdict.PERMANENT)


def _seconds(given: Any, description: str) -> Any:
    """The wait that `parameters` name, or else the words."""
    if type(given) in {int, float} and given > 0:
        return given
    said = _WAIT.search(description.lower())
    return int(said[1]) if said else None


def _rate_limited(said: str, seconds: Any, header: str | None) -> DestinationError:
    """Return the error for a 429. The dispatcher finds out whose limit it was (`Limits.cool_down_lane`)."""
    is_given = type(seconds) in {int, float} and seconds > 0
    if not is_given and header and header.isascii() and header.isdigit():
        seconds = int(header[:10])
    wait_s = float(min(seconds, LONGEST_WAIT_S)) if type(seconds) in {int, float} and seconds > 0 else 1.0
    is_chat_limit = is_given and wait_s < CHAT_WINDOW_S  # if Telegram names no wait, it is a proxy's limit
    return DestinationError(
        ErrorCode.RATE_LIMITED,
        said,
        retry_after_s=wait_s,
        counts=False,
        pauses_lane=is_chat_limit,
        pauses_destination=not is_chat_limit,
    )


def _chat_id(new_id: Any) -> str | None:
    return str(new_id) if type(new_id) is int and 0 < abs(new_id) < 2**63 else None


def _chat_unavailable(said: str) -> DestinationError:
    return DestinationError(
        ErrorCode.CHAT_UNAVAILABLE, said, retry_after_s=CHAT_SET_ASIDE_S, counts=False, pauses_lane=True
    )
