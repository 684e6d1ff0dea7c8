"""What is known of a run once the faults have stopped: from outside, as far as that is possible."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from attrs import define

from streamwarm.model import Event, Job, State
from tests.simulation.ledger import Look
from tests.simulation.people import Person
from tests.simulation.plan import Plan, PlannedJob, key_of
from tests.simulation.telegram import Message

BY_COMPARISON = {"unchanged", "unverified"}
"""The sources of a result that no upload made."""

SOON_S = 0.001
"""Times that are no further apart than this, in seconds, have no order."""


@define(slots=False, eq=False)
class Ending:
    """`left` is what is still open or under way once the service has stopped, by name; `breaches` are what peers and
    stores have seen that must never come. `written` are texts that hold no secret, by name.

    `history` is the bucket's (`R2.history`), `event_times` when events were committed (virtual seconds), `looks` what
    look-ups answered. `names` maps a bot's token to its destination, `accounts` a destination to its account at the
    end. `finally_pushed` are the destinations and keys that were pushed by key once all was calm. `calm_at_s` is when
    the faults ended. `records` are the looks at the end. `named` has the digests that pushes of each key have named.
    """

    plan: Plan
    jobs: Mapping[str, Job]
    events: Sequence[Event]
    messages: Sequence[Message]
    refused: set[str]
    history: Mapping[str, Sequence[tuple[float, bytes | None]]]
    event_times: Mapping[int, float]
    looks: Sequence[Look]
    records: Sequence[Look]
    named: Mapping[str, Collection[str]]
    names: Mapping[str, str]
    accounts: Mapping[str, str]
    finally_pushed: set[tuple[str, str]]
    calm_at_s: float
    people: Sequence[Person]
    breaches: Sequence[str]
    left: Mapping[str, int]
    written: Mapping[str, str]
    secrets: Sequence[str]
    settled_in_time: bool
    unexpected: Sequence[str]

    @cached_property
    def by_file_id(self) -> Mapping[str, Message]:
        return {message.file_id: message for message in self.messages}

    @cached_property
    def by_caption(self) -> Mapping[str, Sequence[Job]]:
        """The jobs that were stored with each caption. More than one has it if a push without an id was repeated, or if
        a record was warmed anew with the options that it was made with."""
        found: dict[str, list[Job]] = {}
        for job in self.jobs.values():
            found.setdefault(caption_of(job), []).append(job)
        return found

    @cached_property
    def incarnations(self) -> Mapping[str, Sequence[tuple[float, float, str | None]]]:
        """For each key, in order, from when until when the bucket had which digest under it; None: no object."""
        found: dict[str, list[tuple[float, float, str | None]]] = {}
        for key, changes in self.history.items():
            ends = [*(at_s for at_s, _ in changes[1:]), float("inf")]
            found[key] = [(at_s, end, _digest(content)) for (at_s, content), end in zip(changes, ends, strict=True)]
        return found

    def had(self, key: str, digest: str | None, since_s: float, until_s: float) -> bool:
        """Whether the bucket had this version of the object at some time between these."""
        return any(
            digest == one and begin <= until_s + SOON_S and end >= since_s - SOON_S
            for begin, end, one in self.incarnations.get(key, [(0.0, float("inf"), None)])
        )

    def present(self, key: str) -> str | None:
        """The digest of what the bucket has at the end."""
        return self.incarnations[key][-1][2] if key in self.incarnations else None

    def planned(self, caption: str) -> PlannedJob | None:
        """The job of the plan that the caption is of."""
        return next((job for job in self.plan.jobs if job.id == caption.partition(" ")[0]), None)

    def key_of(self, job: PlannedJob) -> str:
        return key_of(self.plan, job)

    def name_of(self, message: Message) -> tuple[str, str]:
        """The destination and the key of the object that a message is of."""
        planned = self.planned(message.caption)
        return self.names[message.token], "" if planned is None else self.key_of(planned)

    def may_answer(self, message: Message, destination: str, r2_key: str) -> bool:
        """Whether this message's reference is of the object: it was made for it, or pushes of it named its digest."""
        made_for, key = self.name_of(message)
        return made_for == destination and (key == r2_key or message.sha256 in self.named.get(r2_key, ()))

    def events_of(self, job_id: str) -> list[Event]:
        return [event for event in self.events if event.id == job_id]

    def time_of(self, event: Event) -> float:
        return self.event_times[event.seq]

    def queued_at(self, event: Event) -> float:
        """When the job of this event was last queued before it."""
        queued = (one for one in self.events_of(event.id) if one.state is State.QUEUED and one.seq < event.seq)
        return max((self.time_of(one) for one in queued), default=0.0)


def caption_of(job: Job) -> str:
    return str(job.options.get("caption", ""))


def account_of(message: Message) -> str:
    return message.token.partition(":")[0]


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()
