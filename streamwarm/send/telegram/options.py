"""What a job is sent with: its own options, the bot's `defaults`, and what is known of the video. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamwarm.model import JsonObject, Kind
from streamwarm.send.destination import FactsWanted, VideoFacts
from streamwarm.send.telegram.bot_api import METHODS

MEASURED_BYTES = 10_000_000
"""Telegram measures a video by itself up to some 10 MB, and nothing above that (docs/videos.md)."""

_SIDES = frozenset({"width", "height"})
_FACTS = frozenset({*_SIDES, "duration", "supports_streaming"})

_KEPT_WITH_AN_ADDRESS = frozenset({"caption", "has_spoiler"})
"""Options that are of the message. Telegram ignores every other one if it fetches the file from an address: the server
sends no attributes and no thumbnail then (tdlib/td, `get_input_media` of each kind)."""


def merged_options(named: JsonObject, defaults: JsonObject, facts: VideoFacts | None) -> JsonObject:
    """Return the options to send: what the job names wins, then the bot's defaults, then what is known of the video.

    `form_fields` sends only those that the kind has. A width or a height that somebody names is not paired with a
    measured one.
    """
    asked = {**defaults, **named}
    measured = _measured(facts)
    if asked.keys() & _SIDES:
        measured = {name: value for name, value in measured.items() if name not in _SIDES}
    return {**measured, **asked}


def facts_wanted(kind: Kind, size_bytes: int, options: JsonObject) -> FactsWanted:
    """How much has to be known of an object that is sent with these options."""
    if kind not in {Kind.VIDEO, Kind.ANIMATION} or options.keys() >= _FACTS & METHODS[kind].options:
        return FactsWanted.NONE
    return FactsWanted.ALL if size_bytes > MEASURED_BYTES else FactsWanted.AT_HAND


def _measured(facts: VideoFacts | None) -> Mapping[str, Any]:
    if facts is None:
        return {}
    measured: dict[str, Any] = {}
    if facts.width and facts.height:
        measured |= {"width": facts.width, "height": facts.height}
    if facts.duration_s is not None and facts.duration_s > 0:
        # To whole seconds, as Telegram counts them; 0 would mean that nobody knows.
        measured["duration"] = max(1, int(facts.duration_s + 0.5))
    if facts.streamable:
        measured["supports_streaming"] = True
    return measured


def lost_with_an_address(kind: Kind, options: JsonObject) -> list[str]:
    """Return the options that Telegram would ignore if it fetched the file from an address, by name.

    The file's name is not among them, because an address may have the same (`names.is_lost_with_an_address`).
    """
    method = METHODS[kind]
    ignored = method.options - _KEPT_WITH_AN_ADDRESS | set(method.files)
    return sorted(name for name in ignored if options.get(name))  # false and 0 ask for nothing
