"""Finds out before an upload what Telegram would refuse (fault 8), and what is sent instead."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from attrs import define, field

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Kind
from streamwarm.send.destination import Body, Media
from streamwarm.send.telegram import bot_api
from streamwarm.send.telegram.photo import FIRST_BYTES, MOST_BYTES, Finding, Lacking, look_at, why_not_a_photo
from streamwarm.send.telegram.remedies import PHOTO_REMEDY
from streamwarm.settings.telegram_options import FALLBACK

REMEMBERED = 1024
"""Jobs that are remembered for their next attempt, which usually comes seconds later. One that is forgotten meanwhile
is tried as at first."""

_ABOUT_THE_PHOTO = frozenset({ErrorCode.BAD_PHOTO, ErrorCode.TOO_LARGE})
_NO_MEDIA = "wrong file identifier"
"""What the server makes of MEDIA_EMPTY (td: MessagesManager.cpp). After the upload of a photo, it is about the file."""


def may_fall_back(media: Media) -> bool:
    """Whether the job allows its photo to be sent as a document."""
    return media.kind is Kind.PHOTO and media.options.get("fallback") == FALLBACK


def check_size(media: Media, *, local_server: bool) -> None:
    """Raise `DestinationError` (`too_large`) with the limit and the remedy if the object is too large."""
    kind = Kind.DOCUMENT if may_fall_back(media) else media.kind
    limit = bot_api.max_bytes(kind, local_server=local_server)
    if media.bytes <= limit:
        return
    if kind is Kind.PHOTO:
        remedy = PHOTO_REMEDY
    elif local_server:
        remedy = "Telegram takes no larger file: compress or split it"
    else:
        remedy = "a local Bot API server (base_url, with local_server = true) takes up to 2000 MB"
    raise DestinationError(
        ErrorCode.TOO_LARGE,
        f"{media.r2_key} has {media.bytes} bytes; Telegram takes a {kind} of at most {limit}: {remedy}",
    )


@define
class RecentJobs:
    """A set of job ids that keeps the last `REMEMBERED`."""

    _ids: OrderedDict[str, None] = field(factory=OrderedDict)

    def add(self, job_id: str) -> None:
        self._ids[job_id] = None
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)

    def discard(self, job_id: str) -> None:
        self._ids.pop(job_id, None)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._ids


@define
class PhotoCheck:
    """Decides which photos are sent as photos. Remembers the jobs whose photo Telegram itself has refused."""

    _refused: RecentJobs = field(factory=RecentJobs)

    async def kind_to_send(self, media: Media, body: Body) -> Kind:
        """Return the kind to send: the job's, or document instead of a photo if the job allows it.

        Reads as much of a photo's front as it needs and sends nothing. Raises `DestinationError` (`bad_photo`).
        """
        if media.kind is not Kind.PHOTO:
            return media.kind
        if media.job_id in self._refused or media.bytes > bot_api.PHOTO_BYTES:
            return Kind.DOCUMENT
        why = why_not_a_photo(await read_front(body))
        if why is None:
            return Kind.PHOTO
        if may_fall_back(media):
            return Kind.DOCUMENT
        raise DestinationError(ErrorCode.BAD_PHOTO, f"{media.r2_key} {why}: {PHOTO_REMEDY}")

    def refused(self, media: Media) -> None:
        """Record that Telegram refused the photo. If the job allows it, it is sent as a document from now on."""
        if may_fall_back(media):
            self._refused.add(media.job_id)

    def after_refusal(self, refusal: DestinationError, media: Media, sent_as: Kind) -> DestinationError:
        """Return the error to raise for Telegram's refusal.

        If it is about the photo and the job allows a document, another attempt follows as one, and this attempt is not
        counted.
        """
        if sent_as is not media.kind:
            refusal.sent_as = sent_as.value
        if sent_as is not Kind.PHOTO:
            return refusal
        if _NO_MEDIA in refusal.message.lower():
            refusal = DestinationError(ErrorCode.BAD_PHOTO, f"{refusal.message}; {PHOTO_REMEDY}")
        if not may_fall_back(media) or refusal.code not in _ABOUT_THE_PHOTO:
            return refusal
        self.refused(media)
        return DestinationError(
            refusal.code, f"{refusal.message}; it is sent as a document next", permanent=False, counts=False
        )


class _Peeked(Protocol):
    async def peek(self, count: int) -> bytes: ...


async def read_front(body: _Peeked) -> Finding:
    """Read the front of the body, more and more of it, up to `MOST_BYTES`, until it shows what the file is."""
    count = FIRST_BYTES
    while True:
        front = await body.peek(count)
        finding = look_at(front)
        is_all = len(front) < count
        if is_all or not isinstance(finding, Lacking) or finding.bytes > MOST_BYTES:
            return finding
        # Twice as much each time, so that a file of many short segments is not read again for each of them.
        count = min(max(finding.bytes, 2 * len(front)), MOST_BYTES)
