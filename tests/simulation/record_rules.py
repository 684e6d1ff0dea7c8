"""What must be true of records and look-ups (contract, sections 1 and 4). Each rule yields its complaints.

Nothing here asks the service how old a record is: the bucket's history tells which version came before which. A rule
complains only if no order of what happened could be right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from streamwarm.model import Event, State
from tests.simulation.facts import SOON_S, Ending, account_of
from tests.simulation.ledger import Look
from tests.simulation.people import Asked
from tests.simulation.plan import SORTS, FaultKind, Sort
from tests.simulation.telegram import Message

CLOCK_S = 60.0
"""How long after a clock was set the order of stored times may be wrong, in seconds, with the longest answer in it."""


def _a_look_up_never_answers_an_older_version(ending: Ending) -> Iterator[str]:
    """Once a push or a refresh of the newer one is done. Who forgets a record begins anew."""
    done = _done_by_name(ending)
    for look in ending.looks:
        answered = _message_of(ending, look)
        if answered is None:
            continue
        for at_s, message in done.get((look.destination, look.r2_key, look.account), ()):
            if at_s >= look.at_s or not _is_older(ending, look, answered, message):
                continue
            forgets = (asked for asked in _taken(ending, look) if asked.method == "forget")
            if any(at_s - CLOCK_S <= asked.at_s <= look.at_s for asked in forgets):
                continue
            newer = f"{message.file_id} of a newer version was done at {at_s:.3f}"
            yield f"{_about(look)} is {answered.file_id}, though {newer}"
            break


def _done_by_name(ending: Ending) -> dict[tuple[str, str, str], list[tuple[float, Message]]]:
    found: dict[tuple[str, str, str], list[tuple[float, Message]]] = {}
    for event in ending.events:
        message = ending.by_file_id.get(str((event.result or {}).get("file_id", "")))
        if event.state is State.DONE and message is not None:
            name = (event.destination, event.r2_key, account_of(message))
            found.setdefault(name, []).append((ending.time_of(event), message))
    return found


def _is_older(ending: Ending, look: Look, answered: Message, done: Message) -> bool:
    """Whether the bucket no longer had the answered version, for the last time until now, before it had the other."""
    known = ending.incarnations[look.r2_key]
    ends = [end for begin, end, one in known if one == answered.sha256 and begin <= look.at_s + SOON_S]
    begins = [begin for begin, _, one in known if one == done.sha256]
    if answered.sha256 == done.sha256 or not ends or not begins:
        return False
    return max(ends) <= min(begins) + SOON_S


def _a_look_up_answers_a_message_of_its_account_and_object(ending: Ending) -> Iterator[str]:
    for look in [*ending.looks, *ending.records]:
        if look.record is None:
            continue
        message = _message_of(ending, look)
        if message is None or message.sha256 != look.record.sha256:
            yield f"{_about(look)} is of no message: {look.record.result}"
        elif look.account != account_of(message) or look.account != look.record.account:
            yield f"{_about(look)} is of account {account_of(message)}, not of {look.account}"
        elif not ending.may_answer(message, look.destination, look.r2_key):
            yield f"{_about(look)} is of another object: {message}"


def _a_look_up_never_answers_nothing_where_there_was_something(ending: Ending) -> Iterator[str]:
    """Each forget and each report explains one time that a record vanishes."""
    by_name = sorted(ending.looks, key=lambda look: (look.destination, look.r2_key, look.account, look.at_s))
    for _, looks in groupby(by_name, key=lambda look: (look.destination, look.r2_key, look.account)):
        before: Message | None = None
        vanished = 0
        for look in looks:
            if look.record is None and before is not None:
                vanished += 1
                if vanished > sum(asked.at_s <= look.at_s for asked in _taken(ending, look, [before])):
                    yield f"{_about(look)} is nothing, and there was {before.file_id}"
            before = _message_of(ending, look)


def _what_is_done_has_a_record(ending: Ending) -> Iterator[str]:
    every = _done_by_name(ending)
    for look in ending.records:
        done = [message for _, message in every.get((look.destination, look.r2_key, look.account), ())]
        if look.record is None and done and not _taken(ending, look, done):
            yield f"{look.r2_key} is done at {look.destination} and has no record"


def _a_reported_reference_is_not_answered_again(ending: Ending) -> Iterator[str]:
    for person in ending.people:
        for asked in person.taken:
            if asked.method != "invalid" or not (asked.answer or {}).get("requeued"):
                continue
            for look in ending.looks:
                is_answered = look.record is not None and look.record.result.get("file_id") == asked.params["file_id"]
                if is_answered and look.at_s > (asked.answered_at_s or 0.0):
                    yield f"{_about(look)} is {asked.params['file_id']}, which was reported at {asked.at_s:.3f}"
                    break


def _a_final_push_makes_every_record_true(ending: Ending) -> Iterator[str]:
    """A job that a person must decide about keeps its object's record as it was."""
    held = {(job.destination, job.r2_key) for job in ending.jobs.values() if job.state is State.UNKNOWN}
    for look in ending.records:
        name = (look.destination, look.r2_key)
        if look.record is None or name in held or name not in ending.finally_pushed:
            continue
        present, state = ending.present(look.r2_key), str(look.record.source_state)
        if present is None and state != "gone":
            yield f"{_about(look)} is {state}, and the bucket has no such object"
        if present is not None and (look.record.sha256 != present or state != "current"):
            yield f"{_about(look)} is {state} and of {look.record.sha256}; the bucket has {present}"


def _a_comparison_sends_nothing(ending: Ending) -> Iterator[str]:
    ran = {event.id for event in ending.events if event.state is State.RUNNING}
    for caption, count in Counter(message.caption for message in ending.messages).items():
        jobs = ending.by_caption.get(caption, ())
        if jobs and not any(job.id in ran for job in jobs):
            yield f"{caption} never ran, and has {count} messages"


def _unchanged_means_that_the_bucket_had_that_version(ending: Ending) -> Iterator[str]:
    """At some time between the push and the answer."""
    for event in ending.events:
        result = event.result or {}
        if result.get("source") != "unchanged":
            continue
        since_s, until_s = ending.queued_at(event), ending.time_of(event)
        was_set = any(since_s - CLOCK_S <= step_s <= until_s for step_s in _clock_steps(ending))
        if not was_set and not ending.had(event.r2_key, str(result.get("sha256")), since_s, until_s):
            yield f"{event.id} is unchanged at {until_s:.3f}, pushed at {since_s:.3f}: the bucket had not that version"


def _clock_steps(ending: Ending) -> list[float]:
    """When a clock was set, about: by a fault, and when faults end."""
    steps = [fault.at_s for fault in ending.plan.faults if fault.kind is FaultKind.CLOCK_STEP]
    return [*steps, ending.calm_at_s] if steps else []


_TROUBLE = {Sort.R2, Sort.VERSION, Sort.HOST, Sort.WORLD}


def _only_trouble_leaves_a_push_unverified(ending: Ending) -> Iterator[str]:
    if any(SORTS[fault.kind] in _TROUBLE for fault in ending.plan.faults):
        return
    yield from (f"{event.id} is unverified" for event in ending.events if _source(event) == "unverified")


def _source(event: Event) -> str | None:
    return (event.result or {}).get("source")


def _message_of(ending: Ending, look: Look) -> Message | None:
    return None if look.record is None else ending.by_file_id.get(str(look.record.result.get("file_id", "")))


def _taken(ending: Ending, look: Look, messages: Sequence[Message] = ()) -> list[Asked]:
    """What was asked that takes a reference of this name away; or one of these references, under any name."""
    name, file_ids = (look.destination, look.r2_key), {message.file_id for message in messages}
    return [
        asked
        for person in ending.people
        for asked in person.taken
        if (asked.params["destination"], asked.params["r2_key"]) == name
        or (asked.method == "invalid" and asked.params.get("file_id") in file_ids)
    ]


def _about(look: Look) -> str:
    return f"the record of {look.r2_key} at {look.destination} ({look.at_s:.3f})"


RECORD_RULES: tuple[Callable[[Ending], Iterable[str]], ...] = (
    _a_look_up_never_answers_an_older_version,
    _a_look_up_answers_a_message_of_its_account_and_object,
    _a_look_up_never_answers_nothing_where_there_was_something,
    _what_is_done_has_a_record,
    _a_reported_reference_is_not_answered_again,
    _a_final_push_makes_every_record_true,
    _a_comparison_sends_nothing,
    _unchanged_means_that_the_bucket_had_that_version,
    _only_trouble_leaves_a_push_unverified,
)
