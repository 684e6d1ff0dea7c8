"""Makes an attempt by hand-off: the destination gets an address and fetches the object by itself.

No worker reads the object then, so there is no digest. It can be replaced between our HEAD and the destination's
fetch, so a second HEAD follows: another ETag ends the attempt, as it does while streaming (fault 3).
"""

from __future__ import annotations

from streamwarm.backlog.settlement import Done
from streamwarm.errors import ErrorCode, SourceError, SourceOffline
from streamwarm.fetch.source import ObjectInfo, Origin, Source
from streamwarm.send.destination import FetchingDestination, NotFetched
from streamwarm.stream.attempt import Attempt
from streamwarm.stream.watchdog import Watchdog

EXPIRES_S = 300
"""How long the address works, in seconds. Telegram fetches within seconds; the rest is for clocks that differ."""


async def hand_off(attempt: Attempt, source: Source, destination: FetchingDestination) -> Done | None:
    """Let `destination` fetch the job's object. Returns None if it did not take it: the object must then be streamed.

    Raises `SourceError` or `DestinationError`.
    """
    job, departure = attempt.job, attempt.departure
    try:
        info = await source.head_object(job.r2_key)
    except SourceOffline:
        return None  # the destination could not fetch it either; a copy in the cache can be streamed
    except SourceError as error:
        attempt.not_fetched = error.message  # if it cannot be streamed either, that attempt reports why
        return None
    media = attempt.media(info)
    watchdog = Watchdog(destination.answer_timeout_s, destination.answer_timeout_s, departure)

    async def depart() -> None:
        watchdog.expect_departure()
        await departure.leave(media.bytes)
        departure.object_sent()  # the request contains no bytes of the object, so nothing but its answer is awaited
        watchdog.expect_answer()

    with attempt.watched_by(watchdog):
        answer = await destination.hand_off(media, source.sign_url(job.r2_key, expires_s=EXPIRES_S), depart)
    if isinstance(answer, NotFetched):
        attempt.not_fetched = answer.why
        return None
    await _check_unchanged(info, source)
    attempt.origin = Origin.HANDOFF
    return attempt.done(answer, info, sha256=None)


async def _check_unchanged(info: ObjectInfo, source: Source) -> None:
    """Raise `SourceError` if the bucket holds another object by now.

    The reference is in hand. Only a replaced object makes it worthless; a bucket that does not answer does not.
    """
    try:
        etag = (await source.head_object(info.r2_key)).etag
    except SourceError:
        return
    if etag != info.etag:
        raise SourceError(
            ErrorCode.SOURCE_CHANGED, f"{info.r2_key} was replaced while the destination fetched it; it is sent again"
        )
