"""What must be true once the faults have stopped. Each rule yields its complaints; a good run has none.

A rule belongs to a promise of the contract. `Ending` is what is known then, from outside as far as that is possible.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from streamwarm.model import Event, Job, State
from streamwarm.warm_record import WarmRecord
from tests.simulation.people import Person
from tests.simulation.plan import Plan, PlannedJob, Verb
from tests.simulation.telegram import Message

ENDED = {State.DONE, State.FAILED, State.CANCELLED}
MAX_ATTEMPTS = 5

NOT_COUNTED = {"rate_limited", "unauthorized", "chat_unavailable"}
"""Errors that use up no attempt."""

_NEXT: Mapping[State | None, set[State]] = {
    None: {State.QUEUED},
    State.QUEUED: {State.RUNNING, State.CANCELLED},
    State.RUNNING: {State.DONE, State.FAILED, State.UNKNOWN, State.CANCELLED, State.WAITING, State.QUEUED},
    State.WAITING: {State.QUEUED, State.CANCELLED},
    State.DONE: {State.QUEUED},
    State.FAILED: {State.QUEUED},
    State.UNKNOWN: {State.QUEUED, State.CANCELLED},
    State.CANCELLED: {State.QUEUED},
}


@frozen
class Ending:
    """`left` is what is still open or under way once the service has stopped, by name; `breaches` are what peers and
    stores have seen that must never come. `written` are texts that hold no secret, by name."""

    plan: Plan
    jobs: Mapping[str, Job]
    events: Sequence[Event]
    records: Mapping[tuple[str, str], WarmRecord | None]
    messages: Sequence[Message]
    refused: set[str]
    versions: Mapping[str, Sequence[bytes]]
    replaced: set[str]
    digests: Mapping[int, str | None]
    people: Sequence[Person]
    breaches: Sequence[str]
    left: Mapping[str, int]
    written: Mapping[str, str]
    secrets: Sequence[str]
    settled_in_time: bool
    unexpected: Sequence[str]

    def planned(self, job_id: str) -> PlannedJob:
        return next(job for job in self.plan.jobs if job.id == job_id)

    def key_of(self, job: PlannedJob) -> str:
        return key_of(self.plan, job)

    def digests_of(self, job: PlannedJob) -> set[str]:
        return {hashlib.sha256(content).hexdigest() for content in self.versions.get(self.key_of(job), ())}

    def events_of(self, job_id: str) -> list[Event]:
        return [event for event in self.events if event.id == job_id]


def key_of(plan: Plan, job: PlannedJob) -> str:
    return plan.objects[job.object].key if job.has_object else f"media/none-{job.number}.bin"


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
        job = ending.planned(message.job)
        if message.sha256 not in ending.digests_of(job):
            yield f"{message.job} was delivered with bytes of no version"
        if ending.digests[job.number] not in {None, message.sha256}:
            yield f"{message.job} was delivered with another digest than it names"


def _what_is_done_was_delivered(ending: Ending) -> Iterator[str]:
    by_id = {message.file_id: message for message in ending.messages}
    for job in ending.jobs.values():
        if job.state is not State.DONE:
            continue
        message = by_id.get((job.result or {}).get("file_id", ""))
        if message is None or message.job != job.id or message.sha256 != (job.result or {}).get("sha256"):
            yield f"{job.id} is done with a reference that is not its message's: {job.result}"


def _a_media_key_has_its_record(ending: Ending) -> Iterator[str]:
    forgotten = {ending.key_of(job) for job in ending.plan.jobs if job.number in _acted_on(ending.plan, Verb.FORGET)}
    by_id = {message.file_id: message for message in ending.messages}
    done = {(job.destination, job.r2_key) for job in ending.jobs.values() if job.state is State.DONE}
    for (destination, key), record in ending.records.items():
        if record is None:
            if (destination, key) in done and key not in forgotten:
                yield f"{key} is done at {destination} and has no record"
            continue
        message = by_id.get(record.result.get("file_id", ""))
        if message is None or message.sha256 != record.sha256:
            yield f"the record of {key} at {destination} is of no message: {record.result}"


def _duplicates_are_flagged(ending: Ending) -> Iterator[str]:
    sent = Counter(message.job for message in ending.messages)
    for job_id, count in sorted(sent.items()):
        job, events = ending.jobs.get(job_id), ending.events_of(job_id)
        done = sum(event.state is State.DONE for event in events)
        was_held = any(event.state is State.UNKNOWN for event in events)
        if job is not None and count > done and not (job.possible_duplicate or was_held or job.state is not State.DONE):
            yield f"{job_id} came {count} times, was done {done} times and is not flagged"


def _nothing_fails_without_fault(ending: Ending) -> Iterator[str]:
    cancelled = _acted_on(ending.plan, Verb.CANCEL)
    for job in ending.jobs.values():
        if job.state is State.CANCELLED and ending.planned(job.id).number not in cancelled:
            yield f"{job.id} is cancelled and nobody did that"
        if job.state is State.FAILED and not _is_its_fault(ending, job):
            yield f"{job.id} failed: {job.error}"


def _acted_on(plan: Plan, verb: Verb) -> set[int | None]:
    """The numbers of the jobs that a client did `verb` to."""
    return {action.job for action in plan.actions if action.verb is verb}


def _is_its_fault(ending: Ending, job: Job) -> bool:
    planned = ending.planned(job.id)
    match None if job.error is None else str(job.error.code):
        case "source_not_found":
            return not planned.has_object
        case "sha256_mismatch":
            replaced = ending.key_of(planned) in ending.replaced
            return planned.digest == "wrong" or (planned.digest == "right" and replaced)
        case "destination_refused":
            return job.id in ending.refused
        case "delivery_unknown" | "worker_lost":
            # To repeat either without end may send one file again and again, or kill the process each time.
            return job.attempt >= MAX_ATTEMPTS
        case _:
            return False


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
    _a_media_key_has_its_record,
    _duplicates_are_flagged,
    _nothing_fails_without_fault,
    _what_is_no_fault_counts_as_no_attempt,
    _events_are_complete_and_in_order,
    _no_peer_saw_a_breach,
    _nothing_is_left,
    _no_secret_is_written,
    _nothing_unexpected_happens,
)
