"""One of five: takes a claimed job, makes one attempt, hands the outcome on. It waits for nothing but bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol

import trio
from attrs import field, frozen

from streamwarm.backlog.settlement import Done, Release
from streamwarm.backlog.shared_limits import PauseEffect
from streamwarm.errors import AttemptError, DestinationError, ErrorCode, LaneMoved, StaleConnection, StoreUnavailable
from streamwarm.fetch.source import Source
from streamwarm.model import Claim, Lease
from streamwarm.send.destination import Destination, FetchingDestination, TidiesUp
from streamwarm.settle.finished import Delivered, Finished
from streamwarm.stream.handoff import hand_off_or_transfer
from streamwarm.stream.outcome import after_failure
from streamwarm.stream.running import Running
from streamwarm.stream.transfer import Attempt, transfer
from streamwarm.watch.events import (
    AttemptStarted,
    BytesMoved,
    CacheHit,
    CacheMissed,
    HandoffRefused,
    Observer,
    UnexpectedError,
)

HANDOVER_S = 5.0
"""How long a cancelled worker may take to hand its attempt back; after that its lease runs out instead."""

NOTE_S = 10.0
"""How long the note of a departure may take: the far side waits for the last bytes meanwhile, and not for ever."""

UNCONFIGURED_PAUSE_S = 300.0
"""How often a job is tried whose destination has left the configuration: seldom, and without using up attempts."""


class NoteDeparture(Protocol):
    """The store's `note_departure`."""

    async def __call__(self, lease: Lease, *, departed: bool = True) -> bool: ...


@frozen
class WorkerTools:
    """What all workers share. `now` is the store's clock (Unix seconds), `random` uniform in [0, 1); `redact` masks
    secrets in a text. `pause`, `depart`, `ended` and `move_lane` are the dispatcher's, `note_departure` is the store's,
    and they say there what they do. `fetching` and `tidying` are those of `destinations` that can: asking a protocol
    takes 40 µs, so it is done once."""

    source: Source
    destinations: Mapping[str, Destination]
    running: Running
    finish: Callable[[Finished], Awaitable[None]]
    pause: Callable[[Claim, DestinationError], PauseEffect]
    depart: Callable[[Claim, int], Awaitable[float]]
    note_departure: NoteDeparture
    ended: Callable[[Claim, float | None], None]
    move_lane: Callable[[Claim, str], Awaitable[None]]
    idle: Callable[[], None]
    observe: Observer
    now: Callable[[], float]
    random: Callable[[], float]
    redact: Callable[[str], str]
    max_attempts: int
    body_timeout_s: float
    fetching: Mapping[str, FetchingDestination] = field(init=False)
    tidying: Mapping[str, TidiesUp] = field(init=False)

    @fetching.default
    def _those_that_fetch(self) -> Mapping[str, FetchingDestination]:
        return {name: place for name, place in self.destinations.items() if isinstance(place, FetchingDestination)}

    @tidying.default
    def _those_that_tidy_up(self) -> Mapping[str, TidiesUp]:
        return {name: place for name, place in self.destinations.items() if isinstance(place, TidiesUp)}


async def run_worker(number: int, claims: trio.MemoryReceiveChannel[Claim], tools: WorkerTools) -> None:
    """Serve claims until the channel is closed; `tools.idle` is called each time one more can be taken."""
    tools.idle()
    async for claim in claims:
        with trio.CancelScope() as lost_lease:
            await _work(number, claim, tools, lost_lease)
        tools.idle()


async def _work(number: int, claim: Claim, tools: WorkerTools, lost_lease: trio.CancelScope) -> None:
    started_at = trio.current_time()
    attempt = Attempt(claim.job, started_at, lane=claim.lane.address if claim.lane else None)
    finished: Finished | None = None
    with tools.running.register(number, claim, attempt, lost_lease):
        tools.observe(_started(number, claim, tools.now()))
        try:
            finished = await _attempt(claim, attempt, tools)
        finally:
            tools.ended(claim, attempt.departed_at)
            _observe_attempt(attempt, tools.observe)
            if finished is None:
                finished = _interrupted(claim, attempt, tools)
            # Cancelled, or a bug: the attempt is given back, whatever happens to this task.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + HANDOVER_S):
                await tools.finish(finished)
    if finished.delivered is not None:
        await _tidy_up(claim, finished.delivered, tools)


async def _tidy_up(claim: Claim, delivered: Delivered, tools: WorkerTools) -> None:
    """Only now, when nothing that happens can cost the reference any more."""
    destination = tools.tidying.get(claim.job.destination)
    if destination is None:
        return
    try:
        await destination.tidy_up(delivered.result)
    except Exception as exc:
        tools.observe(UnexpectedError(f"tidying up after job {claim.job.id}", exc))


async def _attempt(claim: Claim, attempt: Attempt, tools: WorkerTools) -> Finished:
    destination = tools.destinations.get(claim.job.destination)
    try:
        if destination is None:
            raise _no_such_destination(claim.job.destination)
        delivered = await _transfer_where_it_has_moved(claim, attempt, destination, tools)
    except AttemptError as error:
        return _failed(claim, attempt, destination, error, tools)
    except Exception as exc:  # a bug of ours: it costs this attempt, never the service
        tools.observe(UnexpectedError(f"attempt {claim.job.attempt} at job {claim.job.id}", exc))
        lost = AttemptError(
            ErrorCode.WORKER_LOST, f"streamwarm failed unexpectedly ({type(exc).__name__}); its log has the details"
        )
        return _failed(claim, attempt, destination, lost, tools)
    done = Done(claim.lease, delivered.result, delivered.seen)
    return Finished(claim, done, trio.current_time() - attempt.started_at, delivered=delivered)


def _interrupted(claim: Claim, attempt: Attempt, tools: WorkerTools) -> Finished:
    """The attempt is given back, unless its last bytes were let go: then the answer is what was lost (decision 5)."""
    if not attempt.answer_due:
        return Finished(claim, Release(claim.lease), trio.current_time() - attempt.started_at)
    lost = DestinationError(
        ErrorCode.DELIVERY_UNKNOWN,
        "the service stopped between the last bytes and the answer: the file may have been delivered",
        counts=False,
    )
    return _failed(claim, attempt, tools.destinations.get(claim.job.destination), lost, tools)


def _failed(
    claim: Claim, attempt: Attempt, destination: Destination | None, error: AttemptError, tools: WorkerTools
) -> Finished:
    # Far sides quote what they were sent: a proxy's error page may hold the path, and with it the bot's token. And
    # JSON can hold halves of characters, which no store takes.
    error.message = tools.redact(error.message).encode("utf-8", "replace").decode()
    effect = tools.pause(claim, error) if isinstance(error, DestinationError) and error.pauses else None
    if effect and not effect.job_waits:
        error.retry_after_s = 0.0
    settlement = after_failure(
        claim,
        error,
        on_unknown=destination.on_unknown if destination else "retry",
        max_attempts=tools.max_attempts,
        now=tools.now(),
        random=tools.random(),
        cooldown=effect.cooldown if effect else None,
    )
    return Finished(claim, settlement, trio.current_time() - attempt.started_at, error=error)


def _no_such_destination(name: str) -> DestinationError:
    return DestinationError(
        ErrorCode.DESTINATION_UNAVAILABLE,
        f"no destination {name} is configured any more; add [destinations.{name}], or cancel its jobs",
        retry_after_s=UNCONFIGURED_PAUSE_S,
        counts=False,
        pauses_destination=True,
    )


async def _transfer_where_it_has_moved(
    claim: Claim, attempt: Attempt, destination: Destination, tools: WorkerTools
) -> Delivered:
    """A lane that has moved (a group that was upgraded) is remembered, and the attempt repeated there at once."""
    try:
        return await _transfer_with_one_fresh_try(claim, attempt, destination, tools)
    except LaneMoved as moved:
        await _retract(claim, attempt, destination, tools)
        await tools.move_lane(claim, moved.address)
        attempt.lane = moved.address
        return await _transfer_with_one_fresh_try(claim, attempt, destination, tools)


async def _transfer_with_one_fresh_try(
    claim: Claim, attempt: Attempt, destination: Destination, tools: WorkerTools
) -> Delivered:
    """A kept-alive connection may be closed by its peer at the moment of reuse (fault 14): that costs no attempt."""
    try:
        return await _transfer(claim, attempt, destination, tools)
    except StaleConnection:
        await _retract(claim, attempt, destination, tools)
        return await _transfer(claim, attempt, destination, tools)


async def _transfer(claim: Claim, attempt: Attempt, destination: Destination, tools: WorkerTools) -> Delivered:
    depart = partial(_depart, claim, destination, tools)
    fetching = tools.fetching.get(claim.job.destination)
    if fetching is None:
        return await transfer(
            attempt,
            tools.source,
            destination,
            body_timeout_s=tools.body_timeout_s,
            clock=trio.current_time,
            depart=depart,
        )
    return await hand_off_or_transfer(
        attempt,
        tools.source,
        fetching,
        body_timeout_s=tools.body_timeout_s,
        clock=trio.current_time,
        depart=depart,
        retract=partial(_retract, claim, attempt, destination, tools),
    )


async def _depart(claim: Claim, destination: Destination, tools: WorkerTools, size_bytes: int) -> float:
    """Wait until the attempt may send its last bytes; returns when that was.

    Where a lost answer is to be held, it is written down before they leave: a process that is killed then can tell
    nobody. What cannot be written must not leave.
    """
    departed_at = await tools.depart(claim, size_bytes)
    if destination.on_unknown != "hold":
        return departed_at
    why = f"the store did not take it within {NOTE_S:g} s"
    with trio.move_on_after(NOTE_S):
        try:
            if await tools.note_departure(claim.lease):
                return departed_at
            why = "its lease was lost"
        except StoreUnavailable as exc:
            why = str(exc)
    raise AttemptError(
        ErrorCode.WORKER_LOST,
        f"the last bytes were kept back, for it could not be noted that they leave (on_unknown = hold): {why}",
        counts=False,
    )


async def _retract(claim: Claim, attempt: Attempt, destination: Destination, tools: WorkerTools) -> None:
    """Nothing has come of what departed, so there is no answer left to lose. A store that does not take that in time
    keeps the note: should the process die, the job is held without need."""
    if attempt.answer_due and destination.on_unknown == "hold":
        with suppress(StoreUnavailable), trio.move_on_after(NOTE_S):
            await tools.note_departure(claim.lease, departed=False)
    attempt.answer_due = False


def _observe_attempt(attempt: Attempt, observe: Observer) -> None:
    """Bytes count whether or not the attempt succeeded: they were paid for. Those from the bucket, `fetch` counts."""
    job = attempt.job
    if attempt.not_fetched is not None:
        observe(HandoffRefused(job.id, job.destination, job.r2_key, attempt.not_fetched))
    if attempt.meter is not None:
        if attempt.origin == "cache":
            observe(CacheHit(job.id, job.r2_key, attempt.meter.bytes_in))
        else:
            observe(CacheMissed(job.id, job.r2_key))
        observe(BytesMoved("destination", attempt.meter.bytes_out))


def _started(number: int, claim: Claim, now: float) -> AttemptStarted:
    job = claim.job
    waited_s = max(0.0, now - job.created_at)
    return AttemptStarted(job.id, job.destination, job.kind, job.r2_key, job.attempt, number, waited_s)
