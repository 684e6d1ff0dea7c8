"""Where objects go, as the transfer and the intake see it. Writing another destination means writing one of these."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Literal, Protocol, runtime_checkable

from attrs import field, frozen

from streamwarm.fetch.source import SignedUrl
from streamwarm.model import Job, JsonObject, Kind, NewJob, State


@frozen
class Quota:
    """At most `messages` in any `window_s` seconds."""

    messages: int
    window_s: float

    def share(self, of: int) -> Quota:
        """One of `of` equal parts. Where there are fewer messages than parts, the window grows instead."""
        messages = max(1, self.messages // of)
        return Quota(messages, self.window_s * max(1.0, of * messages / self.messages))


@frozen
class LaneRates:
    """How fast one lane takes messages: `spacing_s` from one to the next, and no more than its quotas."""

    spacing_s: float = 0.0
    quotas: tuple[Quota, ...] = ()

    def share(self, of: int) -> LaneRates:
        return LaneRates(self.spacing_s * of, tuple(quota.share(of) for quota in self.quotas))


@frozen
class Rates:
    """How fast a destination takes messages. A message counts when its upload is complete, not when it begins.

    `quotas` are those of the whole destination, `lanes` those of the places inside it by name (a bot's chats): each
    job is handed out with one of them. Without lanes a job just goes there. `equal_size_spacing_s` is the time that
    must pass between two objects of exactly that many bytes.
    """

    quotas: tuple[Quota, ...] = ()
    lanes: Mapping[str, LaneRates] = field(factory=dict)
    equal_size_spacing_s: Callable[[int], float] = lambda _: 0.0

    def share(self, of: int) -> Rates:
        """What each of `of` processes may use, so that together they keep these rates."""
        if of == 1:
            return self
        return Rates(
            tuple(quota.share(of) for quota in self.quotas),
            {name: lane.share(of) for name, lane in self.lanes.items()},
            lambda size_bytes: of * self.equal_size_spacing_s(size_bytes),
        )


UNLIMITED = Rates()

UNAUTHORIZED_PAUSE_S = 300.0
"""How often a destination tries again once its credentials were refused: the cause lasts until a person sets new ones
and restarts the service, so a shorter pause only repeats the refusal."""


@frozen
class Media:
    """The object to deliver and how. `bytes` is exact: the upload's length is computed from it (decision 2). `lane` is
    the address of the lane that was chosen for it, None where the destination has no lanes."""

    job_id: str
    kind: Kind
    r2_key: str
    bytes: int
    content_type: str | None
    options: JsonObject
    sha256: str | None = None
    lane: str | None = None
    content_encoding: str | None = None
    """How the object is stored; its bytes go out as they are, and a destination that can say so passes it on."""


class Body(Protocol):
    """The object's bytes on their way out, exactly `Media.bytes` of them.

    The last piece is held back until the digest agrees (decision 3), so a body that breaks off must never be
    completed by its destination: it raises `SourceError`, and the destination lets that pass.
    """

    @property
    def bytes_out(self) -> int:
        """How many bytes the network has taken."""
        ...

    @property
    def finished(self) -> bool:
        """True once every byte was handed over: from then on a lost answer is `delivery_unknown`."""
        ...

    async def peek(self, count: int) -> bytes:
        """The first `count` bytes, or some more; all there are where the object has fewer. None is sent by it: `pieces`
        begins with them. Costs memory for what it returns; to be asked before `pieces`."""
        ...

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes, once. A piece is valid until the next is asked for. Close it (`contextlib.aclosing`)."""
        ...


class Destination(Protocol):
    """A named place that objects are streamed to."""

    @property
    def name(self) -> str: ...

    @property
    def on_unknown(self) -> Literal["retry", "hold"]:
        """What follows `delivery_unknown`: another attempt, flagged `possible_duplicate`, or a person's decision. With
        `hold` every delivery costs a write to the store before its last bytes leave."""
        ...

    @property
    def answer_timeout_s(self) -> float:
        """How long its answer may take after the last byte."""
        ...

    def check_job(self, job: NewJob) -> None:
        """Raise `InvalidOptions` naming the option and what is allowed, or `InvalidJob` for whatever else can never be
        sent here. Called before a job is stored."""
        ...

    def check_media(self, media: Media) -> None:
        """Raise `DestinationError` for an object that it would refuse whatever its bytes are (fault 8): too large, with
        the limit and the remedy in the message. Called once the object's size is known, before a byte is uploaded."""
        ...

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        """Stream the object there and return the reference that came back (contract, section 5, without `sha256`,
        `bytes`, `source` and `elapsed_ms`, which the transfer adds).

        Raises `DestinationError`. A `SourceError` out of `body` passes through as it is.
        """
        ...


@runtime_checkable
class LeavesTraces(Protocol):
    """A destination at which an attempt that died with its process leaves something behind."""

    async def sweep(self, state_of: Callable[[str], Awaitable[State | None]]) -> None:
        """Remove what such attempts have left. Called once at every start, beside the work.

        `state_of` tells a job's state by its id, None where this service's store knows no such job: whatever belongs to
        one of those is somebody else's. Raises `DestinationError`; what `state_of` raises passes.
        """
        ...


@frozen
class NotFetched:
    """The destination did not take an object from its address. `why` is for the log: it never holds the address."""

    why: str


@runtime_checkable
class FetchingDestination(Destination, Protocol):
    """A destination that can also fetch an object by itself, from an address that works for a while (hand-off): then no
    byte passes the worker, and nothing is known of their digest."""

    def may_fetch(self, job: Job) -> bool:
        """Whether this job's object may be handed over, as far as the job tells. Called before anything is asked of the
        bucket."""
        ...

    async def hand_off(
        self, media: Media, address: SignedUrl, depart: Callable[[], Awaitable[None]]
    ) -> JsonObject | NotFetched:
        """Let the destination fetch the object and return the reference that came back, as `deliver` does. `depart`
        waits until a message may be made there (`Rates`); to be called before it is asked for one.

        `NotFetched` where it does not take it this way; it is streamed then, within the same attempt. Raises
        `DestinationError`, whose message never holds the address.
        """
        ...


@runtime_checkable
class HasRates(Protocol):
    """A destination that takes only so many messages."""

    @property
    def rates(self) -> Rates:
        """Read once, at the start."""
        ...


@runtime_checkable
class TidiesUp(Protocol):
    """A destination at which something may follow a delivery (deleting a bot's message)."""

    async def tidy_up(self, reference: JsonObject) -> None:
        """Called once the outcome is handed on. Best effort, soon over, and nothing is raised. `reference` is what
        `deliver` returned, with what the transfer added."""
        ...


def rates_of(destination: Destination) -> Rates:
    """How fast it takes messages."""
    return destination.rates if isinstance(destination, HasRates) else UNLIMITED
