"""One attempt while it runs: what it holds, and what its neighbours ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import trio
from attrs import define

from streamwarm.backlog.settlement import Done
from streamwarm.errors import DestinationError, ErrorCode, SourceError
from streamwarm.fetch.source import ObjectInfo, Origin
from streamwarm.model import Claim, Job, Progress, SeenObject
from streamwarm.send.attachment import AttachedObject, Attachment
from streamwarm.send.destination import Destination, FactsWanted, Media, Reference, WantsFacts
from streamwarm.stream.departure import AwaitTurn, Departure, NoteDeparture
from streamwarm.stream.meter import Meter
from streamwarm.stream.watchdog import Watchdog

STUCK_S = 5.0
"""How long an attempt may take to end once its watchdog has cancelled it. One that takes longer is stuck (in a system
call, say): its lease is left to run out, so that another worker gets the job."""

UNCONFIGURED_PAUSE_S = 300.0
"""How often a job is tried whose destination has left the settings, in seconds: seldom, and it uses up no attempts."""


@define
class Attempt:
    """One try at a job: its claim, its destination, its departure, and how far it has come.

    `started_at` and `opened_at` are trio's times; the latter is when the bucket last had the version that was sent,
    None if that is not known. `lane_address` is the address inside the destination; it changes if the lane has moved.
    `origin` is the `source` of the result. `not_fetched`: why the object is streamed though the destination was to
    fetch it. `watchdog` is the one that watches now; before and after it, every wait has a limit of its own.
    `attachments` are the objects to send along with the job's own. `wanting` is the destination if it wants to know how
    a video looks.
    """

    claim: Claim
    _destination: Destination | None
    departure: Departure
    started_at: float
    lane_address: str | None
    origin: Origin = Origin.STREAM
    opened_at: float | None = None
    not_fetched: str | None = None
    meter: Meter | None = None
    watchdog: Watchdog | None = None
    attachments: Sequence[Attachment] = ()
    wanting: WantsFacts | None = None

    @classmethod
    def start(
        cls,
        claim: Claim,
        destination: Destination | None,
        *,
        depart: AwaitTurn,
        note_departure: NoteDeparture,
        attachments: Sequence[Attachment] = (),
        wanting: WantsFacts | None = None,
    ) -> Attempt:
        """Begin an attempt now. `destination` is None if the settings do not name it any more."""
        noted = destination is not None and destination.on_unknown == "hold"
        departure = Departure(claim, depart, note_departure, noted=noted)
        lane_address = claim.lane.address if claim.lane else None
        return cls(
            claim, destination, departure, trio.current_time(), lane_address, attachments=attachments, wanting=wanting
        )

    @property
    def job(self) -> Job:
        return self.claim.job

    @property
    def destination(self) -> Destination:
        """Raises `DestinationError` if the settings do not name it any more."""
        if self._destination is None:
            name = self.job.destination
            raise DestinationError(
                ErrorCode.DESTINATION_UNAVAILABLE,
                f"no destination {name} is configured any more; add [destinations.{name}], or cancel its jobs",
                retry_after_s=UNCONFIGURED_PAUSE_S,
                counts=False,
                pauses_destination=True,
            )
        return self._destination

    @property
    def on_unknown(self) -> Literal["retry", "hold"]:
        """What follows a lost answer (`send.destination`)."""
        return "retry" if self._destination is None else self._destination.on_unknown

    @property
    def elapsed_s(self) -> float:
        return trio.current_time() - self.started_at

    @property
    def progress(self) -> Progress | None:
        """None before the object's size is known."""
        return None if self.meter is None else self.meter.progress(self.job.id)

    def alive(self, now: float) -> bool:
        """Whether its lease is to be renewed: bytes move, or have not stood still for too long.

        `now` is trio's time.
        """
        return self.watchdog is None or now < self.watchdog.scope.deadline + STUCK_S

    def facts_wanted(self, media: Media) -> FactsWanted:
        return FactsWanted.NONE if self.wanting is None else self.wanting.facts_wanted(media)

    def media(self, info: ObjectInfo, attached: Sequence[AttachedObject] = ()) -> Media:
        """Describe the object to the destination, with what is sent along with it.

        Raises `SourceError` or `DestinationError` if the destination would refuse it whatever its bytes are (fault 8).
        """
        job = self.job
        if info.bytes == 0:
            raise SourceError(ErrorCode.SOURCE_EMPTY, f"{job.r2_key} is empty; no destination takes an empty file")
        media = Media(
            job_id=job.id,
            kind=job.kind,
            r2_key=job.r2_key,
            bytes=info.bytes,
            content_type=info.content_type,
            options=job.options,
            sha256=job.sha256,
            lane=self.lane_address,
            content_encoding=info.content_encoding,
            attached=attached,
        )
        self.destination.check_media(media)
        return media

    @contextmanager
    def watched_by(self, watchdog: Watchdog) -> Iterator[None]:
        """Let `watchdog` watch over what is in this block. Raises its verdict if it ended that."""
        self.watchdog = watchdog
        try:
            with watchdog.scope:
                yield
        finally:
            self.watchdog = None
        if watchdog.scope.cancelled_caught:
            raise watchdog.verdict(self.meter.bytes_out if self.meter else 0)

    def done(self, reference: Reference, info: ObjectInfo, *, sha256: str | None) -> Done:
        """The settlement of an attempt that succeeded. `sha256` is None if no worker has read the bytes."""
        result = {
            **reference,
            "sha256": sha256,
            "bytes": info.bytes,
            "source": self.origin.value,
            "source_etag": info.source_etag,
            "elapsed_ms": round(self.elapsed_s * 1000),
        }
        self.opened_at = info.seen_at
        seen = SeenObject(self.job.r2_key, info.bytes, info.source_etag, info.content_type, sha256)
        return Done(self.claim.lease, result, seen)
