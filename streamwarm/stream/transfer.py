"""One attempt, start to end: open the object, learn its size, stream it to its destination, take the reference home."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from attrs import define

from streamwarm.errors import DestinationError, ErrorCode, SourceError
from streamwarm.fetch.source import ObjectInfo, Source
from streamwarm.model import Job, SeenObject
from streamwarm.send.destination import Destination, Media
from streamwarm.settle.finished import Delivered
from streamwarm.stream.body import VerifiedBody
from streamwarm.stream.meter import Meter
from streamwarm.stream.watchdog import Watchdog

STUCK_S = 5.0
"""How long an attempt may take to let go once its watchdog has ended it. One that takes longer is stuck, and its job is
better off with another worker."""


@define
class Attempt:
    """One attempt while it runs, as its neighbours see it: `stats` and progress read the meter, the heartbeat asks
    `alive`. `watchdog` is the one that watches bytes move; before and after that, every wait has a limit of its own.
    `not_fetched` tells why the object is streamed where the destination was to fetch it. `lane` is the address inside
    the destination that it goes to; `departed_at` is set when its last bytes leave, and `answer_due` until it is known
    that nothing came of them."""

    job: Job
    started_at: float
    meter: Meter | None = None
    info: ObjectInfo | None = None
    origin: str = "stream"
    not_fetched: str | None = None
    watchdog: Watchdog | None = None
    lane: str | None = None
    departed_at: float | None = None
    answer_due: bool = False

    def depart(self, at: float) -> None:
        self.departed_at, self.answer_due = at, True

    def alive(self, now: float) -> bool:
        """Whether its lease is to be renewed (decision 6): bytes move, or have not stood still for too long; `now` is
        trio's time."""
        return self.watchdog is None or now < self.watchdog.scope.deadline + STUCK_S


async def transfer(
    attempt: Attempt,
    source: Source,
    destination: Destination,
    *,
    body_timeout_s: float,
    clock: Callable[[], float],
    depart: Callable[[int], Awaitable[float]],
) -> Delivered:
    """Stream the job's object to its destination. Raises `SourceError` or `DestinationError`.

    `clock` is monotonic. `depart` takes the object's size, waits until its last bytes may leave and returns when that
    was. Nothing of the attempt outlives the call: both connections are back in their pools or closed.
    """
    job = attempt.job
    async with source.open_object(job.r2_key, sha256=job.sha256) as opened:
        info, attempt.origin = opened.info, opened.origin
        attempt.info = info
        media = media_of(attempt, info)
        check(media, destination)
        meter = attempt.meter = Meter(total=info.bytes)
        watchdog = Watchdog(body_timeout_s, destination.answer_timeout_s)

        async def depart_now(size_bytes: int) -> None:
            attempt.depart(await depart(size_bytes))

        body = VerifiedBody(opened, meter, watchdog, expected_sha256=job.sha256, depart=depart_now)
        with watched(attempt, watchdog):
            reference = await destination.deliver(media, body)
        if not body.finished:
            raise DestinationError(
                ErrorCode.DESTINATION_UNAVAILABLE,
                f"the destination answered after {meter.bytes_out} of {meter.total} bytes",
            )
    result = {
        **reference,
        "sha256": meter.sha256,
        "bytes": meter.total,
        "source": opened.origin,
        "elapsed_ms": round((clock() - attempt.started_at) * 1000),
    }
    seen = SeenObject(job.r2_key, meter.total, info.etag, info.content_type, meter.sha256)
    return Delivered(result, seen)


@contextmanager
def watched(attempt: Attempt, watchdog: Watchdog) -> Iterator[None]:
    """Let `watchdog` watch over what is in this block. Raises its verdict."""
    attempt.watchdog = watchdog
    try:
        with watchdog.scope:
            yield
    finally:
        attempt.watchdog = None
    if watchdog.scope.cancelled_caught:
        raise watchdog.verdict(attempt.meter.bytes_out if attempt.meter else 0)


def check(media: Media, destination: Destination) -> None:
    """Refuse what need not be tried (fault 8): raise `SourceError` or `DestinationError`."""
    if media.bytes == 0:
        raise SourceError(ErrorCode.SOURCE_EMPTY, f"{media.r2_key} is empty; no destination takes an empty file")
    destination.check_media(media)


def media_of(attempt: Attempt, info: ObjectInfo) -> Media:
    """What there is to deliver, and where."""
    job = attempt.job
    return Media(
        job_id=job.id,
        kind=job.kind,
        r2_key=job.r2_key,
        bytes=info.bytes,
        content_type=info.content_type,
        options=job.options,
        sha256=job.sha256,
        lane=attempt.lane,
        content_encoding=info.content_encoding,
    )
