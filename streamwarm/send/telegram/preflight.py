"""What Telegram would refuse, found out before a byte is uploaded (fault 8), and what is sent instead."""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import Kind
from streamwarm.send.destination import Body, Media
from streamwarm.send.telegram import bot_api
from streamwarm.send.telegram.photo import FIRST_BYTES, MOST_BYTES, Finding, Lacking, look_at, why_not_a_photo
from streamwarm.send.telegram.refusals import PHOTO_REMEDY

REMEMBERED = 1024
"""Jobs of which it is known what Telegram would not take, for their next attempt, seconds later as a rule. One that is
forgotten meanwhile is tried as at first."""

_ABOUT_THE_PHOTO = frozenset({ErrorCode.BAD_PHOTO, ErrorCode.TOO_LARGE})


def may_fall_back(media: Media) -> bool:
    """Whether the job would rather have its photo as a document than not at all."""
    return media.kind is Kind.PHOTO and media.options.get("fallback") == bot_api.FALLBACK


def check_size(media: Media, *, local_server: bool) -> None:
    """Raise `DestinationError` (`too_large`) that names the limit and the remedy."""
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
    """The last `REMEMBERED` jobs to which something has happened."""

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
    """Decides which photos go as photos. Remembers the jobs whose photo Telegram itself has refused."""

    _refused: RecentJobs = field(factory=RecentJobs)

    async def kind_to_send(self, media: Media, body: Body) -> Kind:
        """The kind that the object goes as: the job's, or document in a photo's place where the job allows it.

        Reads what it needs of the front of a photo and sends nothing. Raises `DestinationError` (`bad_photo`).
        """
        if media.kind is not Kind.PHOTO:
            return media.kind
        if media.job_id in self._refused or media.bytes > bot_api.PHOTO_BYTES:
            return Kind.DOCUMENT
        why = why_not_a_photo(await _look_into(body))
        if why is None:
            return Kind.PHOTO
        if may_fall_back(media):
            return Kind.DOCUMENT
        raise DestinationError(ErrorCode.BAD_PHOTO, f"{media.r2_key} {why}: {PHOTO_REMEDY}")

    def refused(self, media: Media) -> None:
        """Telegram does not take it for a photo: where the job allows it, it goes as a document from now on."""
        if may_fall_back(media):
            self._refused.add(media.job_id)

    def after_refusal(self, refusal: DestinationError, media: Media, sent_as: Kind) -> DestinationError:
        """What a refusal of Telegram's own amounts to: where it is about the photo and the job allows it, another
        attempt, as a document and at no cost."""
        if sent_as is not Kind.PHOTO or not may_fall_back(media) or refusal.code not in _ABOUT_THE_PHOTO:
            return refusal
        self.refused(media)
        return DestinationError(
            refusal.code, f"{refusal.message}; it goes as a document next", permanent=False, counts=False
        )


async def _look_into(body: Body) -> Finding:
    """Look at the front of the body, at ever more of it, up to `MOST_BYTES`."""
    count = FIRST_BYTES
    while True:
        front = await body.peek(count)
        finding = look_at(front)
        is_all = len(front) < count
        if is_all or not isinstance(finding, Lacking) or finding.bytes > MOST_BYTES:
            return finding
        # Twice as much each time, so that a file of many short segments is not walked for each of them.
        count = min(max(finding.bytes, 2 * len(front)), MOST_BYTES)
