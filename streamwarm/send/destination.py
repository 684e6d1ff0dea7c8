"""The interface of destinations, as the transfer and the intake see it. Another type of destination implements it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Literal, Protocol, runtime_checkable

from attrs import field, frozen

from streamwarm.fetch.source import SignedUrl
from streamwarm.model import Job, JsonObject, Kind, NewJob, State
from streamwarm.send.attachment import AttachedObject, Attachment


@frozen
class Quota:
    """At most `messages` in any `window_s` seconds."""

    messages: int
    window_s: float

    def share(self, of: int) -> Quota:
        """Return one of `of` equal parts. If there are fewer messages than parts, the window grows instead."""
        messages = max(1, self.messages // of)
        return Quota(messages, self.window_s * max(1.0, of * messages / self.messages))


@frozen
class LaneRates:
    """How fast one lane takes messages: `spacing_s` seconds from one to the next, and no more than its quotas.

    Lanes that name the same `budget` share it, as topics of one chat do. None: the lane has its own.
    """

    spacing_s: float = 0.0
    quotas: tuple[Quota, ...] = ()
    budget: str | None = None

    def share(self, of: int) -> LaneRates:
        return LaneRates(self.spacing_s * of, tuple(quota.share(of) for quota in self.quotas), self.budget)


@frozen
class Rates:
    """How fast a destination takes messages. A message counts when its upload is complete, not when it begins.

    `quotas` hold for the whole destination, `lanes` for each lane by its name (a bot's chats). If there are lanes,
    every job is given one of them. `equal_size_spacing_s(size_bytes)` is the time that must pass between two objects of
    exactly that size. `budget_at(address)` names the budget of a lane that has moved to that address.
    """

    quotas: tuple[Quota, ...] = ()
    lanes: Mapping[str, LaneRates] = field(factory=dict)
    equal_size_spacing_s: Callable[[int], float] = lambda _: 0.0
    budget_at: Callable[[str], str] = lambda address: address

    def share(self, of: int) -> Rates:
        """Return what each of `of` processes may use, so that together they keep these rates."""
        if of == 1:
            return self
        return Rates(
            tuple(quota.share(of) for quota in self.quotas),
            {name: lane.share(of) for name, lane in self.lanes.items()},
            lambda size_bytes: of * self.equal_size_spacing_s(size_bytes),
            self.budget_at,
        )


UNLIMITED = Rates()

UNAUTHORIZED_PAUSE_S = 300.0
"""How often a destination tries again once its credentials were refused: the cause lasts until a person sets new ones
and restarts the service, so a shorter pause only repeats the refusal."""


class FactsWanted(Enum):
    """How much a destination wants to know about a video."""

    NONE = auto()
    AT_HAND = auto()
    """What its first bytes tell: the destination measures the rest by itself."""
    ALL = auto()
    """All of it, by further reads if need be."""


@frozen
class VideoFacts:
    """What a probe has read from a video's own boxes. None: it could not be read.

    `width` and `height` are as the video is shown: turned, and with its pixels' aspect. `streamable` is False if the
    index stands at the end.
    """

    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    streamable: bool | None = None


@frozen
class Media:
    """The object to deliver, and how.

    `bytes` is exact: the upload's length is computed from it. `lane` is the address of the lane that was
    chosen for it, None if the destination has no lanes. `attached` are the job's attachments, opened, in the order in
    which the destination named them. `facts` is what is known of a video.
    """

    job_id: str
    kind: Kind
    r2_key: str
    bytes: int
    content_type: str | None
    options: JsonObject
    sha256: str | None = None
    lane: str | None = None
    content_encoding: str | None = None
    """How the object is stored. Its bytes are sent as they are; a destination that has a header for this passes it
    on."""
    attached: Sequence[AttachedObject] = ()
    facts: VideoFacts | None = None


MAX_REFERENCE_CHARS = 1024
"""The longest text that is kept of an answer: a `file_id`, an ETag, a location. No protocol names a bound. Telegram's
ids have under 120 characters, S3's ETags under 50, and 1,024 bytes are the longest key that S3 has. Without a bound, an
answer's size would be what each job costs in the store, in memory and in every look-up."""

Reference = JsonObject
"""What a destination answered with (contract, section 5): a `file_id`, an `etag`, a response.

Each type of destination has its own members, so it is JSON and not a class. `Attempt.done` makes a job's result of it.
"""


class Body(Protocol):
    """The object's bytes to upload, exactly `Media.bytes` of them.

    The last piece is withheld until the digest agrees. A body that breaks off raises `SourceError`. The
    destination must let that pass through and must never complete the upload.
    """

    @property
    def bytes_out(self) -> int:
        """How many bytes the network has taken."""
        ...

    @property
    def object_sent(self) -> bool:
        """True once the network has taken every byte of the object.

        What the destination adds behind it (a form's closing boundary, the request that completes an upload) may still
        be to send. `Outgoing.upload_sent` includes that and decides whether a lost answer is `delivery_unknown`.
        """
        ...

    async def peek(self, count: int) -> bytes:
        """Return the first `count` bytes or more, or the whole object if it has fewer.

        Nothing is sent by this, and `pieces` still begins with these bytes. They are held in memory. Call it before
        `pieces`.
        """
        ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes; may be called once. A piece is valid until the next is requested.

        The caller closes the generator (`contextlib.aclosing`).
        """
        ...


class Destination(Protocol):
    """A named destination to which objects are streamed."""

    @property
    def name(self) -> str: ...

    @property
    def on_unknown(self) -> Literal["retry", "hold"]:
        """What follows `delivery_unknown`: another attempt, flagged `possible_duplicate`, or a user's decision
        (`hold`).

        With `hold` every delivery costs a write to the store before its last bytes are sent.
        """
        ...

    @property
    def answer_timeout_s(self) -> float:
        """Seconds that its answer may take after the last byte."""
        ...

    def check_job(self, job: NewJob) -> None:
        """Raise `InvalidOptions`, which names the option and what is allowed, or `InvalidJob` for any other job that
        can never be sent here. Called before a job is stored."""
        ...

    def check_media(self, media: Media) -> None:
        """Raise `DestinationError` for an object that would be refused whatever its bytes are (fault 8), such as one
        that is too large. The message has the limit and the remedy. Called once the size is known, before any
        upload."""
        ...

    async def deliver(self, media: Media, body: Body) -> Reference:
        """Stream the object to the destination and return the reference that it answered with (contract, section 5).

        The transfer adds `sha256`, `bytes`, `source` and `elapsed_ms`. Raises `DestinationError`. A `SourceError` from
        `body` passes through as it is.
        """
        ...


@runtime_checkable
class TakesAttachments(Destination, Protocol):
    """A destination that takes further objects of the bucket with a job's own."""

    def attachments(self, job: Job) -> Sequence[Attachment]:
        """Return the objects to open for this job, before its own. `Media.attached` has them then."""
        ...


@runtime_checkable
class WantsFacts(Destination, Protocol):
    """A destination that keeps what an upload says about a video, and measures little by itself."""

    def facts_wanted(self, media: Media) -> FactsWanted:
        """Which facts about this object it lacks."""
        ...


@runtime_checkable
class LeavesTraces(Protocol):
    """A destination at which an attempt that was killed with its process leaves something behind."""

    async def sweep(self, state_of: Callable[[str], Awaitable[State | None]]) -> None:
        """Remove what such attempts have left behind. Called once per start, while the service works.

        `state_of` returns a job's state by its id, or None if this service's store does not have the job. Traces of
        such jobs belong to another installation. Raises `DestinationError` and what `state_of` raises.
        """
        ...


@frozen
class NotFetched:
    """The destination did not fetch an object from its address. `why` is for the log and never contains the address."""

    why: str


@runtime_checkable
class FetchingDestination(Destination, Protocol):
    """A destination that can also fetch an object by itself, from an address that works for a while (hand-off).

    No byte passes through the worker then, so the digest is not checked.
    """

    def may_fetch(self, job: Job) -> bool:
        """Whether the destination may fetch this job's object, as far as the job alone shows. Called before any request
        to the bucket."""
        ...

    async def hand_off(
        self, media: Media, address: SignedUrl, depart: Callable[[], Awaitable[None]]
    ) -> Reference | NotFetched:
        """Let the destination fetch the object and return the reference that it answered with, as `deliver` does.

        `depart` waits until the destination may make a message (`Rates`); call it before the request. Returns
        `NotFetched` if the destination does not fetch it; then the same attempt streams the object. Raises
        `DestinationError`, whose message never contains the address.
        """
        ...


@runtime_checkable
class HasRates(Protocol):
    """A destination that limits how many messages it takes."""

    @property
    def rates(self) -> Rates:
        """The limits. Read once, at the start."""
        ...


@runtime_checkable
class TidiesUp(Protocol):
    """A destination that has something to do after a delivery, such as deleting a bot's message."""

    async def tidy_up(self, reference: JsonObject) -> None:
        """Called once the outcome is on its way to the store. Best effort: it takes a few seconds at most and raises
        nothing. `reference` is what `deliver` returned, with what the transfer added."""
        ...


def rates_of(destination: Destination) -> Rates:
    """Return the destination's rates, or `UNLIMITED`."""
    return destination.rates if isinstance(destination, HasRates) else UNLIMITED
