"""One of several workers: takes a claim, makes one attempt, hands the outcome on, and takes the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio
from attrs import evolve, field, frozen

from streamwarm.backlog.settlement import Done, Ran, Release, Settlement
from streamwarm.backlog.shared_limits import PauseEffect, RefusalEffect
from streamwarm.errors import AttemptError, DestinationError, ErrorCode, SourceError
from streamwarm.fetch.source import Origin, Source
from streamwarm.model import Claim, Job
from streamwarm.send.attachment import Attachment
from streamwarm.send.destination import Destination, FetchingDestination, TakesAttachments, TidiesUp, WantsFacts
from streamwarm.settle.finished import Finished
from streamwarm.stream.attempt import Attempt
from streamwarm.stream.delivery import MoveLane, run_attempt
from streamwarm.stream.departure import AwaitTurn, NoteDeparture
from streamwarm.stream.outcome import after_failure, after_refusal
from streamwarm.stream.running import Running
from streamwarm.watch.observations import (
    AttemptStarted,
    BytesMoved,
    CacheHit,
    CacheMissed,
    Direction,
    HandoffRefused,
    Observer,
    UnexpectedError,
)

HANDOVER_S = 5.0
"""How long a cancelled worker may take to hand its outcome on, in seconds. After that the attempt's lease runs out."""


@frozen
class WorkerTools:
    """What all workers share.

    `now` is the store's clock (Unix seconds), `random` is uniform in [0, 1), `redact` masks secrets in a text. `pause`,
    `depart`, `ended`, `move_lane` and `idle` are the dispatcher's, `weigh` and `took` are the lane judge's,
    `note_departure` is the store's, and `is_of_the_bucket` is the source guard's. `fetching`, `tidying` and `attaching`
    are the `destinations` that can do that: asking a protocol takes 40 µs, so it is done once.
    """

    source: Source
    destinations: Mapping[str, Destination]
    running: Running
    finish: Callable[[Finished], Awaitable[None]]
    pause: Callable[[Claim, DestinationError], PauseEffect]
    weigh: Callable[[Claim, DestinationError], Awaitable[RefusalEffect | None]]
    took: Callable[[Claim], str | None]
    is_of_the_bucket: Callable[[SourceError], Awaitable[bool]]
    depart: AwaitTurn
    note_departure: NoteDeparture
    ended: Callable[[Claim, float | None], None]
    move_lane: MoveLane
    idle: Callable[[], None]
    observe: Observer
    now: Callable[[], float]
    random: Callable[[], float]
    redact: Callable[[str], str]
    max_attempts: int
    body_timeout_s: float
    fetching: Mapping[str, FetchingDestination] = field(init=False)
    tidying: Mapping[str, TidiesUp] = field(init=False)
    attaching: Mapping[str, TakesAttachments] = field(init=False)
    wanting: Mapping[str, WantsFacts] = field(init=False)

    @fetching.default
    def _those_that_fetch(self) -> Mapping[str, FetchingDestination]:
        return {name: one for name, one in self.destinations.items() if isinstance(one, FetchingDestination)}

    @tidying.default
    def _those_that_tidy_up(self) -> Mapping[str, TidiesUp]:
        return {name: one for name, one in self.destinations.items() if isinstance(one, TidiesUp)}

    @attaching.default
    def _those_that_take_attachments(self) -> Mapping[str, TakesAttachments]:
        return {name: one for name, one in self.destinations.items() if isinstance(one, TakesAttachments)}

    @wanting.default
    def _those_that_want_facts(self) -> Mapping[str, WantsFacts]:
        return {name: one for name, one in self.destinations.items() if isinstance(one, WantsFacts)}

    def attachments(self, job: Job) -> Sequence[Attachment]:
        """The objects to send along with this job's own."""
        destination = self.attaching.get(job.destination)
        return () if destination is None else destination.attachments(job)


async def run_worker(number: int, claims: trio.MemoryReceiveChannel[Claim], tools: WorkerTools) -> None:
    """Serve claims until the channel is closed; `tools.idle` is called each time one more can be taken."""
    tools.idle()
    async for claim in claims:
        with trio.CancelScope() as attempt_scope:
            await _work(number, claim, tools, attempt_scope)
        tools.idle()


async def _work(number: int, claim: Claim, tools: WorkerTools, attempt_scope: trio.CancelScope) -> None:
    attempt = Attempt.start(
        claim,
        tools.destinations.get(claim.job.destination),
        depart=tools.depart,
        note_departure=tools.note_departure,
        attachments=tools.attachments(claim.job),
        wanting=tools.wanting.get(claim.job.destination),
    )
    settlement: Settlement | None = None
    with tools.running.register(number, attempt, attempt_scope):
        tools.observe(_started(number, claim, tools.now()))
        try:
            settlement = await _run(attempt, tools)
            if isinstance(settlement, Done):
                opened_at = _by_the_store(attempt.opened_at, tools)
                settlement = evolve(settlement, takes_again=tools.took(claim), opened_at=opened_at)
        finally:
            tools.ended(claim, attempt.departure.departed_at)
            _observe_attempt(attempt, tools.observe)
            called_off = settlement is None and attempt_scope.cancel_called
            if settlement is None:  # cancelled
                settlement = _interrupted(attempt, tools)
            # The outcome must reach the completer even if this task is cancelled.
            with trio.CancelScope(shield=True, deadline=trio.current_time() + HANDOVER_S):
                ended = _with_ran(settlement, number, attempt)
                await tools.finish(Finished(claim, ended, attempt.elapsed_s, called_off))
    if isinstance(settlement, Done):
        await _tidy_up(claim, settlement, tools)


def _by_the_store(at: float | None, tools: WorkerTools) -> float | None:
    """A time of trio's, by the store's clock."""
    return None if at is None else tools.now() - (trio.current_time() - at)


async def _tidy_up(claim: Claim, done: Done, tools: WorkerTools) -> None:
    """Called after the outcome is handed on, so that nothing that fails here can cost the reference."""
    destination = tools.tidying.get(claim.job.destination)
    if destination is None:
        return
    try:
        await destination.tidy_up(done.result)
    except Exception as exc:
        tools.observe(UnexpectedError(f"tidying up after job {claim.job.id}", exc))


async def _run(attempt: Attempt, tools: WorkerTools) -> Settlement:
    """Make the attempt. Returns how it ended."""
    job = attempt.job
    try:
        return await run_attempt(
            attempt,
            tools.source,
            tools.fetching.get(job.destination),
            move_lane=tools.move_lane,
            body_timeout_s=tools.body_timeout_s,
        )
    except SourceError as error:
        error.decide(is_of_the_bucket=await tools.is_of_the_bucket(error))
        return _failed(attempt, error, tools)
    except DestinationError as error:
        _mask(error, tools)
        if (effect := await tools.weigh(attempt.claim, error)) is not None:
            return after_refusal(attempt.claim, error, effect, max_attempts=tools.max_attempts)
        return _failed(attempt, error, tools)
    except AttemptError as error:
        return _failed(attempt, error, tools)
    except Exception as exc:  # a bug of ours: it costs this attempt, never the service
        tools.observe(UnexpectedError(f"attempt {job.attempt} at job {job.id}", exc))
        lost = AttemptError(
            ErrorCode.WORKER_LOST, f"streamwarm failed unexpectedly ({type(exc).__name__}); its log has the details"
        )
        return _failed(attempt, lost, tools)


def _interrupted(attempt: Attempt, tools: WorkerTools) -> Settlement:
    """How a cancelled attempt ends: it is released, unless an answer was due. Then the file may have been delivered, so
    `on_unknown` decides."""
    if not attempt.departure.answer_due:
        return Release(attempt.claim.lease)
    lost = DestinationError(
        ErrorCode.DELIVERY_UNKNOWN,
        "the service stopped between the last bytes and the answer: the file may have been delivered",
        counts=False,
    )
    return _failed(attempt, lost, tools)


def _mask(error: AttemptError, tools: WorkerTools) -> None:
    """Destinations quote what they were sent: a proxy's error page may hold the path, and with it the bot's token. And
    JSON can hold halves of characters, which no store takes."""
    error.reword(tools.redact(error.message).encode("utf-8", "replace").decode())


def _failed(attempt: Attempt, error: AttemptError, tools: WorkerTools) -> Settlement:
    _mask(error, tools)
    effect = tools.pause(attempt.claim, error) if isinstance(error, DestinationError) and error.pauses else None
    if effect and not effect.job_waits:
        error.retry_after_s = 0.0
    return after_failure(
        attempt.claim,
        error,
        on_unknown=attempt.on_unknown,
        max_attempts=tools.max_attempts,
        now=tools.now(),
        random=tools.random(),
        effect=effect,
    )


def _with_ran(settlement: Settlement, number: int, attempt: Attempt) -> Settlement:
    """Return the settlement with what is kept of the attempt. After a hand-off, the whole object counts as sent."""
    if attempt.meter is not None:
        sent_bytes = attempt.meter.bytes_out
    else:
        sent_bytes = settlement.seen.bytes if isinstance(settlement, Done) else 0
    return evolve(settlement, ran=Ran(number, attempt.lane_address, sent_bytes))


def _observe_attempt(attempt: Attempt, observe: Observer) -> None:
    """Bytes count whether or not the attempt succeeded: they were paid for. `fetch` counts those from the bucket."""
    job = attempt.job
    if attempt.not_fetched is not None:
        observe(HandoffRefused(job.id, job.destination, job.r2_key, attempt.not_fetched))
    if attempt.meter is not None:
        if attempt.origin is Origin.CACHE:
            observe(CacheHit(job.id, job.r2_key, attempt.meter.bytes_in))
        else:
            observe(CacheMissed(job.id, job.r2_key))
        observe(BytesMoved(Direction.DESTINATION, attempt.meter.bytes_out))


def _started(number: int, claim: Claim, now: float) -> AttemptStarted:
    job = claim.job
    waited_s = max(0.0, now - job.created_at)
    return AttemptStarted(job.id, job.destination, job.kind, job.r2_key, job.attempt, number, waited_s)
