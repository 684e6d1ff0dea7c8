"""What must be true once the faults have stopped. Each rule yields its complaints; a good run has none.

A rule belongs to a promise of the contract. The rules about records are in `record_rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from streamwarm.model import Event, Job, State
from tests.simulation.facts import BY_COMPARISON, Ending, caption_of
from tests.simulation.plan import CHATS, FaultKind, Plan, Verb
from tests.simulation.record_rules import RECORD_RULES

ENDED = {State.DONE, State.FAILED, State.CANCELLED}
MAX_ATTEMPTS = 5

NOT_COUNTED = {"rate_limited", "unauthorized", "chat_unavailable"}
"""Errors that use up no attempt."""

_NEXT: Mapping[State | None, set[State]] = {
    None: {State.QUEUED},
    State.QUEUED: {State.RUNNING, State.CANCELLED, State.DONE, State.FAILED},
    State.RUNNING: {State.DONE, State.FAILED, State.UNKNOWN, State.CANCELLED, State.WAITING, State.QUEUED},
    State.WAITING: {State.QUEUED, State.CANCELLED},
    State.DONE: {State.QUEUED},
    State.FAILED: {State.QUEUED},
    State.UNKNOWN: {State.QUEUED, State.CANCELLED},
    State.CANCELLED: {State.QUEUED},
}


def complaints_about(ending: Ending) -> list[str]:
    return [f"{rule.__name__.strip('_')}: {complaint}" for rule in RULES for complaint in rule(ending)]


def _every_acknowledged_job_ends(ending: Ending) -> Iterator[str]:
    for person in ending.people:
        for job_id in sorted(person.acknowledged):
            job = ending.jobs.get(job_id)
            if job is None:
                yield f"{job_id} was acknowledged and is gone"
            elif job.state is State.UNKNOWN:
                if job.error is None:
                    yield f"{job_id} is held without a reason"
            elif job.state not in ENDED:
                yield f"{job_id} is still {job.state}: {job.error}"
    if not ending.settled_in_time:
        yield "the service did not come to rest"
    for person in ending.people:
        yield from (f"a push was rejected: {reason}" for reason in person.rejected)


def _delivered_bytes_are_one_version(ending: Ending) -> Iterator[str]:
    for message in ending.messages:
        destination, key = ending.name_of(message)
        if all(message.sha256 != digest for _, _, digest in ending.incarnations.get(key, ())):
            yield f"{message.caption} was delivered with bytes of no version"
        jobs = ending.by_caption.get(message.caption, ())
        if not jobs:
            yield f"a message came with the caption of no job: {message}"
        if jobs and all(job.sha256 not in {None, message.sha256} for job in jobs):
            yield f"{message.caption} was delivered with another digest than it names"
        if jobs and all((job.destination, job.r2_key) != (destination, key) for job in jobs):
            yield f"{message.caption} went to {destination}, which is not its own destination"


def _what_is_done_was_delivered(ending: Ending) -> Iterator[str]:
    for job in ending.jobs.values():
        if job.state is not State.DONE:
            continue
        result = job.result or {}
        message = ending.by_file_id.get(str(result.get("file_id", "")))
        is_its_own = result.get("source") in BY_COMPARISON or (
            message is not None and message.caption == caption_of(job)
        )
        if message is None or not is_its_own or message.sha256 != result.get("sha256"):
            yield f"{job.id} is done with a reference that is not its message's: {job.result}"
        elif not ending.may_answer(message, job.destination, job.r2_key):
            yield f"{job.id} is done with the reference of another object or destination: {job.result}"


def _duplicates_are_flagged(ending: Ending) -> Iterator[str]:
    """A message whose reference no event has told is known to be possible by one of the jobs with its caption."""
    told = {str((event.result or {}).get("file_id")) for event in ending.events if event.state is State.DONE}
    held = {event.id for event in ending.events if event.state is State.UNKNOWN}
    for message in ending.messages:
        jobs = ending.by_caption.get(message.caption, ())
        if message.file_id not in told and not any(
            job.possible_duplicate or job.id in held or job.state is not State.DONE for job in jobs
        ):
            yield f"{message.caption} came more often than it was done and is not flagged: {message.file_id}"


def _nothing_fails_without_fault(ending: Ending) -> Iterator[str]:
    cancelled = {job.id for job in ending.plan.jobs if job.number in _acted_on(ending.plan, Verb.CANCEL)}
    for job in ending.jobs.values():
        if job.state is State.CANCELLED and job.id not in cancelled:
            yield f"{job.id} is cancelled and nobody did that"
        if job.state is State.FAILED and not _is_its_fault(ending, job):
            yield f"{job.id} failed: {job.error}"


def _acted_on(plan: Plan, verb: Verb) -> set[int | None]:
    """The numbers of the jobs that a client did `verb` to."""
    return {action.job for action in plan.actions if action.verb is verb}


def _is_its_fault(ending: Ending, job: Job) -> bool:
    failed = ending.events_of(job.id)[-1]
    since_s, until_s = ending.queued_at(ending.events_of(job.id)[-1]), ending.time_of(failed)
    first_s = min(ending.time_of(event) for event in ending.events_of(job.id))
    match None if job.error is None else str(job.error.code):
        case "source_not_found":
            return ending.had(job.r2_key, None, min(first_s, since_s), until_s)
        case "sha256_mismatch":
            return any(
                digest not in {None, job.sha256} and begin <= until_s
                for begin, _, digest in ending.incarnations.get(job.r2_key, ())
            )
        case "destination_refused":
            return caption_of(job) in ending.refused or _every_chat_refuses(ending.plan, job.destination)
        case "delivery_unknown" | "worker_lost":
            # To repeat either without end may send one file again and again, or kill the process each time.
            return job.attempt >= MAX_ATTEMPTS
        case _:
            return False


def _every_chat_refuses(plan: Plan, destination: str) -> bool:
    """Whether all chats of a destination may have refused a job: nobody can say then that the file is not at fault."""
    chats = [chat for chats in CHATS.values() for chat in chats]
    refusing = {chats[fault.of % len(chats)] for fault in plan.faults if fault.kind is FaultKind.CHAT_REFUSES}
    return refusing >= set(CHATS[destination])


def _what_is_no_fault_counts_as_no_attempt(ending: Ending) -> Iterator[str]:
    running: dict[str, int] = {}
    for event in ending.events:
        if event.state is State.RUNNING:
            running[event.id] = event.attempt
        code = None if event.error is None else event.error.code
        if event.state is State.WAITING and code in NOT_COUNTED and event.attempt != running[event.id] - 1:
            yield f"{event.id}: {code} counted as attempt {event.attempt}"


def _events_are_complete_and_in_order(ending: Ending) -> Iterator[str]:
    stored = [(event.seq, event.id, str(event.state), event.attempt) for event in ending.events]
    state: dict[str, State] = {}
    for event in ending.events:
        if event.state not in _NEXT[state.get(event.id)]:
            yield f"{event.id} went from {state.get(event.id)} to {event.state} (event {event.seq})"
        if state.get(event.id) is State.QUEUED and event.state in ENDED and not _is_by_comparison(event):
            yield f"{event.id} ended without an attempt (event {event.seq}): {event}"
        state[event.id] = event.state
    for job in ending.jobs.values():
        if state.get(job.id) is not job.state:
            yield f"{job.id} is {job.state}, and its last event says {state.get(job.id)}"
    for person in ending.people:
        heard = [(event["seq"], event["id"], event["state"], event["attempt"]) for event in person.events]
        if heard != stored:
            at = next((n for n, pair in enumerate(zip(heard, stored, strict=False)) if pair[0] != pair[1]), None)
            where = f"differs at {at}: {heard[at]}, stored {stored[at]}" if at is not None else "ends elsewhere"
            yield f"client {person.number} heard {len(heard)} events of {len(stored)}: {where}"


def _is_by_comparison(event: Event) -> bool:
    if event.state is State.FAILED:
        return event.error is not None and str(event.error.code) == "source_not_found"
    return event.state is State.CANCELLED or (event.result or {}).get("source") in BY_COMPARISON


def _no_peer_saw_a_breach(ending: Ending) -> Iterable[str]:
    return ending.breaches


def _nothing_is_left(ending: Ending) -> Iterator[str]:
    yield from (f"{count} {name}" for name, count in ending.left.items() if count)


def _no_secret_is_written(ending: Ending) -> Iterator[str]:
    for name, text in ending.written.items():
        yield from (f"{secret[:4]}… is in {name}" for secret in ending.secrets if secret in text)


def _nothing_unexpected_happens(ending: Ending) -> Iterable[str]:
    return ending.unexpected


Rule = Callable[[Ending], Iterable[str]]

RULES: tuple[Rule, ...] = (
    _every_acknowledged_job_ends,
    _delivered_bytes_are_one_version,
    _what_is_done_was_delivered,
    _duplicates_are_flagged,
    _nothing_fails_without_fault,
    _what_is_no_fault_counts_as_no_attempt,
    _events_are_complete_and_in_order,
    _no_peer_saw_a_breach,
    _nothing_is_left,
    _no_secret_is_written,
    _nothing_unexpected_happens,
    *RECORD_RULES,
)
