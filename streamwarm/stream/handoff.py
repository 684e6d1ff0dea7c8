"""One attempt where the destination may fetch the object by itself: it is handed an address instead of bytes.

Nobody here reads the object then, so there is no digest; and between our look at it and the destination's it can be
replaced. So it is looked at again afterwards: another ETag ends the attempt, as it does while streaming (fault 3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.source import ObjectInfo, Source
from streamwarm.model import JsonObject, SeenObject
from streamwarm.send.destination import FetchingDestination, NotFetched
from streamwarm.settle.finished import Delivered
from streamwarm.stream.transfer import Attempt, check, media_of, transfer, watched
from streamwarm.stream.watchdog import Watchdog

EXPIRES_S = 300
"""How long the address works. Telegram fetches within seconds; the rest is for clocks that differ."""


async def hand_off_or_transfer(
    attempt: Attempt,
    source: Source,
    destination: FetchingDestination,
    *,
    body_timeout_s: float,
    clock: Callable[[], float],
    depart: Callable[[int], Awaitable[float]],
    retract: Callable[[], Awaitable[None]],
) -> Delivered:
    """Deliver the job's object, handed over where the destination takes it so, else streamed (see `transfer`).

    `retract` is called once nothing has come of a departure.
    """
    if destination.may_fetch(attempt.job):
        delivered = await _hand_off(attempt, source, destination, clock, depart)
        if delivered is not None:
            return delivered
        await retract()
    return await transfer(attempt, source, destination, body_timeout_s=body_timeout_s, clock=clock, depart=depart)


async def _hand_off(
    attempt: Attempt,
    source: Source,
    destination: FetchingDestination,
    clock: Callable[[], float],
    depart: Callable[[int], Awaitable[float]],
) -> Delivered | None:
    job = attempt.job
    try:
        info = attempt.info = await source.head_object(job.r2_key)
    except SourceError as error:
        attempt.not_fetched = error.message  # if it can't be streamed either, that says why
        return None
    media = media_of(attempt, info)
    check(media, destination)

    watchdog = Watchdog(destination.answer_timeout_s, destination.answer_timeout_s)

    async def depart_now() -> None:
        watchdog.expect_departure()
        attempt.depart(await depart(media.bytes))
        watchdog.expect_answer()

    with watched(attempt, watchdog):
        answer = await destination.hand_off(media, source.sign_url(job.r2_key, expires_s=EXPIRES_S), depart_now)
    if isinstance(answer, NotFetched):
        attempt.not_fetched = answer.why
        return None
    await _check_unchanged(info, source)
    attempt.origin = "handoff"
    return _delivered(answer, info, elapsed_s=clock() - attempt.started_at)


async def _check_unchanged(info: ObjectInfo, source: Source) -> None:
    """Raise `SourceError` if the bucket holds another object by now. The reference is in hand: only that makes it
    worthless, and not that the bucket cannot be asked."""
    try:
        etag = (await source.head_object(info.r2_key)).etag
    except SourceError:
        return
    if etag != info.etag:
        raise SourceError(
            ErrorCode.SOURCE_CHANGED, f"{info.r2_key} was replaced while the destination fetched it; it is sent again"
        )


def _delivered(reference: JsonObject, info: ObjectInfo, *, elapsed_s: float) -> Delivered:
    told = {"sha256": None, "bytes": info.bytes, "source": "handoff", "elapsed_ms": round(elapsed_s * 1000)}
    seen = SeenObject(info.r2_key, info.bytes, info.etag, info.content_type, sha256=None)
    return Delivered({**reference, **told}, seen)
