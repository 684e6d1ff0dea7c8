"""What to do about a job that met an error, by its code, and about a warning. docs/protocol.md explains both. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streamwarm.errors import ErrorCode
from streamwarm.model import MediaWarning

REMEDIES: Mapping[ErrorCode, str] = {
    ErrorCode.SOURCE_NOT_FOUND: "check the key, push the right one and forget this one: the bucket has no such object",
    ErrorCode.SOURCE_EMPTY: "upload the object again: it has no bytes",
    ErrorCode.SOURCE_REFUSED: "run `streamwarm check`, and store the object without Content-Encoding",
    ErrorCode.SOURCE_CHANGED: "retry it: the object was replaced while it was streamed",
    ErrorCode.SOURCE_TRUNCATED: "retry it: the download broke off too often",
    ErrorCode.SOURCE_UNAVAILABLE: "retry it once the bucket answers; check it with `streamwarm check`",
    ErrorCode.SHA256_MISMATCH: "push it with the digest of what the bucket holds, or upload the right object",
    ErrorCode.TOO_LARGE: "send a smaller object, or use a local Bot API server (local_server = true: 2000 MB)",
    ErrorCode.BAD_PHOTO: "push it as a document, or resize it: Telegram does not accept this photo",
    ErrorCode.DESTINATION_REFUSED: "read the message: the destination will refuse it again",
    ErrorCode.CHAT_UNAVAILABLE: "follow the message, then `streamwarm resume` the bot",
    ErrorCode.UNAUTHORIZED: "follow the message, then `streamwarm resume` the destination",
    ErrorCode.RATE_LIMITED: "wait: it is retried by itself; a bot with several chats may send more",
    ErrorCode.TIMEOUT: "retry it; if it happens again, check the network or raise pool.body_timeout_s",
    ErrorCode.DESTINATION_UNAVAILABLE: "retry it once the destination answers; check it with `streamwarm check`",
    ErrorCode.WORKER_LOST: "read the service's log: the process died while it ran this job; then retry it",
    ErrorCode.DELIVERY_UNKNOWN: "look into the warm-up chat: retry it if the file is not there, else cancel it",
}

WARNING_REMEDIES: Mapping[MediaWarning, str] = {
    MediaWarning.NO_DIMENSIONS: "name width, height and duration in its options, then forget it and push it again",
    MediaWarning.NO_THUMBNAIL: "check the thumbnail: a JPEG of at most 320 pixels a side",
    MediaWarning.INDEX_AT_END: "move its index to the front (ffmpeg -movflags +faststart), so that it can be streamed",
    MediaWarning.OTHER_KIND: "send it by the kind in its result, and check its name's extension",
}


def warning_remedy(warning: str) -> str:
    """What to do about `warning`. A newer service may have warnings that are unknown here."""
    known = frozenset(MediaWarning)
    return WARNING_REMEDIES[MediaWarning(warning)] if warning in known else "see the documentation of the service"


_NEEDS_A_PERSON = frozenset({ErrorCode.CHAT_UNAVAILABLE, ErrorCode.UNAUTHORIZED})
"""The errors that a job waits out until a person has fixed the cause."""


def remedy(code: str, state: str) -> str:
    """What to do about a job in `state` whose last attempt met `code`. A newer service may have codes that are unknown
    here."""
    if state in {"queued", "waiting", "running"} and code not in _NEEDS_A_PERSON:
        return "nothing: it is tried again by itself; `streamwarm status` shows what is paused"
    known = frozenset(ErrorCode)
    return REMEDIES[ErrorCode(code)] if code in known else "read the message"
