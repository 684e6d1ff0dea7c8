"""Telegram's rules for a hand-off: which objects it fetches from an address, and whether a text reveals that. Pure.

Source of the rules: https://core.telegram.org/bots/api#sending-files, "Sending by URL". Telegram's own servers fetch
the object even if a local Bot API server is used, so the limits are the same.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import JsonObject, Kind
from streamwarm.net.addresses import why_not_public
from streamwarm.send.destination import Media
from streamwarm.send.telegram.bot_api import MB

PHOTO_BYTES = 5 * MB
FILE_BYTES = 20 * MB
VIDEO_BYTES = 10 * MB
"""Telegram measures no video above this by itself, and takes no width, height or duration with an address."""
VOICE_BYTES = MB
"""A longer voice message that is sent by its address becomes a file."""

_TYPES: Mapping[Kind, frozenset[str]] = {
    Kind.PHOTO: frozenset({"image/jpeg", "image/png", "image/webp"}),
    Kind.VIDEO: frozenset({"video/mp4"}),
    Kind.AUDIO: frozenset({"audio/mpeg", "audio/mp3", "audio/mp4", "audio/m4a", "audio/x-m4a"}),
    Kind.DOCUMENT: frozenset({"application/pdf", "application/zip", "image/gif"}),
    Kind.ANIMATION: frozenset({"image/gif", "video/mp4"}),
    Kind.VOICE: frozenset({"audio/ogg"}),
}
"""By kind, the content types under which Telegram takes a file from an address. It never takes a video note."""

STREAM_INSTEAD = frozenset({ErrorCode.DESTINATION_REFUSED, ErrorCode.BAD_PHOTO, ErrorCode.TOO_LARGE})
"""Refusals of the file or of its address. No message was made, and the same bytes may be taken if they are streamed. If
not, that refusal is the one to report."""

_QUOTED = 8
"""Characters of a signature in a row that count as a quotation: too many for chance, and far from all 64."""


def can_be_fetched(kind: Kind) -> bool:
    return kind in _TYPES


def is_fetchable(media: Media) -> bool:
    """Whether Telegram fetches an object of this kind, size and content type.

    It would decode a stored Content-Encoding, and so take other bytes than are stored.
    """
    limit = {Kind.PHOTO: PHOTO_BYTES, Kind.VOICE: VOICE_BYTES}.get(media.kind, FILE_BYTES)
    content_type = (media.content_type or "").partition(";")[0].strip().lower()
    if media.kind is Kind.VIDEO or content_type.startswith("video/"):
        limit = VIDEO_BYTES
    return (
        media.content_encoding is None and media.bytes <= limit and content_type in _TYPES.get(media.kind, frozenset())
    )


def is_within_reach(host: str, *, asked_at: str) -> bool:
    """Whether a Bot API at the host `asked_at` may reach `host`.

    A public Bot API reaches public hosts only. One on a private address may run beside the bucket, as the sandbox does,
    so it is given a try.
    """
    return _is_public(host) or not _is_public(asked_at)


def _is_public(host: str) -> bool:
    """Whether a host is public, by its name or number alone. Nothing is looked up."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        return why_not_public(host) is None
    except ValueError:
        return "." in host and not host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))


def without_address(reference: JsonObject, url: str) -> JsonObject:
    """Return a reference without a file name that quotes the signed address.

    Raises `DestinationError` if the reference itself quotes it.
    """
    media = {name: value for name, value in reference["media"].items() if not quotes_address(str(value), url)}
    if quotes_address(str({**reference, "media": media}), url):
        raise DestinationError(
            ErrorCode.DESTINATION_UNAVAILABLE, "Telegram answered the hand-off with the address instead of a file_id"
        )
    return {**reference, "media": media}


def quotes_address(text: str, url: str) -> bool:
    """Whether a text quotes the secret part of a signed address, whole or in part and however it is escaped."""
    (signature,) = parse_qs(urlsplit(url).query)["X-Amz-Signature"]
    plain = unquote(unquote(html.unescape(text))).lower()
    parts = (signature[start : start + _QUOTED] for start in range(len(signature) - _QUOTED + 1))
    return "x-amz-" in plain or any(part in plain for part in parts)
