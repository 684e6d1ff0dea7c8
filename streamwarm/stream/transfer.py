"""Streams an attempt's object: open it and what is sent along with it, learn its size, send it to its destination,
return with the reference."""

from __future__ import annotations

from attrs import evolve

from streamwarm.backlog.settlement import Done
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.fetch.source import Source
from streamwarm.stream.attached import open_attached
from streamwarm.stream.attempt import Attempt
from streamwarm.stream.body import VerifiedBody
from streamwarm.stream.meter import Meter
from streamwarm.stream.probing import probe
from streamwarm.stream.watchdog import Watchdog


async def transfer(attempt: Attempt, source: Source, *, body_timeout_s: float) -> Done:
    """Stream the job's object to its destination. Raises `SourceError` or `DestinationError`.

    Nothing of the attempt outlives the call: both connections are back in their pools or closed.
    """
    job, destination = attempt.job, attempt.destination
    async with (
        open_attached(attempt, source) as attached,
        source.open_object(job.r2_key, sha256=job.sha256) as opened,
    ):
        attempt.origin = opened.origin
        media = attempt.media(opened.info, attached)
        meter = attempt.meter = Meter(total=opened.info.bytes)
        watchdog = Watchdog(body_timeout_s, destination.answer_timeout_s, attempt.departure)
        body = VerifiedBody(
            opened,
            meter,
            watchdog,
            attempt.departure,
            expected_sha256=job.sha256,
            attached_bytes=sum(one.size_bytes for one in attached),
        )
        with attempt.watched_by(watchdog):
            facts = await probe(opened, body, watchdog, attempt.facts_wanted(media))
            reference = await destination.deliver(evolve(media, facts=facts), body)
        if not body.object_sent:
            raise DestinationError(
                ErrorCode.DESTINATION_UNAVAILABLE,
                f"the destination answered after {meter.bytes_out} of {meter.total} bytes",
            )
    return attempt.done(reference, opened.info, sha256=meter.sha256)
