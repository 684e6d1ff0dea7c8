"""The second push of a run: the same keys again, after a share of their objects was replaced.

It counts what needed no upload and what was warmed anew, and asks for each reference once its push is done: it must be
of the newest version's bytes. Pure, but for `LookUps`, which asks the service.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, evolve, field, frozen

from load.content import LoadObject
from load.http_clients import HttpError, ServiceApi
from load.ledger import Record
from load.options import Options, Repush
from load.plan import Plan, PlannedJob
from load.spread import spread_ms
from streamwarm.model import Refresh

AT_ONCE = 4
"""Look-ups at a time: they are to be prompt, and cost the service little beside the pushes."""


@frozen
class Again:
    """What is pushed again. `objects` are the new versions, to be put first; `newest` and `older` have the digests of
    each key's versions, `older` those of replaced objects alone."""

    objects: Sequence[LoadObject]
    jobs: Sequence[PlannedJob]
    newest: Mapping[str, str]
    older: Mapping[str, str]


def plan_again(options: Options, repush: Repush, plan: Plan, records: Iterable[Record]) -> Again:
    """Replace a share of the objects that are warm, and push each warm media key once, by its key alone."""
    warm = {(r.job.destination, r.job.kind, r.job.r2_key): r.job for r in records if r.state == "done"}
    warm_keys = {job.r2_key for job in warm.values()}
    objects = [made for made in plan.objects if made.key in warm_keys]
    chosen = random.Random(options.seed + 3).sample(objects, round(len(objects) * repush.replaced))
    # The salt alone differs: another version of the same size, which nothing but its content tells apart.
    replacements = [evolve(made, salt=made.salt + 1) for made in chosen]
    older = {made.key: made.sha256() for made in chosen}
    newest = {job.r2_key: job.delivered_sha256 for job in warm.values()}
    newest |= {made.key: made.sha256() for made in replacements}
    answered = {**newest, **older} if repush.refresh is Refresh.NEVER else newest
    arrivals = [job.at_s for job in plan.jobs]
    jobs = [
        evolve(
            job,
            number=number,
            client=number % options.clients,
            at_s=arrivals[number],
            sha256=None,
            delivered_sha256=answered[job.r2_key],
            refresh=repush.refresh.value,
        )
        for number, job in enumerate(warm.values())
    ]
    return Again(replacements, jobs, newest, older)


@define(eq=False)
class LookUps:
    """Asks for the reference of each job once it is done, as a sender would. `answers` has the record that was found,
    None for none, or the error."""

    http: ServiceApi
    answers: list[tuple[Record, Mapping[str, Any] | HttpError | None]] = field(factory=list)
    _send: trio.MemorySendChannel[Record] | None = None

    def note(self, record: Record) -> None:
        """A job has ended."""
        if self._send is not None and record.state == "done":
            self._send.send_nowait(record)

    @asynccontextmanager
    async def asking(self, jobs: int) -> AsyncIterator[None]:
        """Ask while inside the block, and at its end for what is left."""
        self._send, receive = trio.open_memory_channel[Record](jobs)
        async with trio.open_nursery() as nursery, receive:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._ask_each, receive.clone())
            with self._send:
                yield

    async def _ask_each(self, receive: trio.MemoryReceiveChannel[Record]) -> None:
        async with receive:
            async for record in receive:
                try:
                    found: Mapping[str, Any] | HttpError | None = await self.http.media(
                        record.job.destination, record.job.kind, record.job.r2_key
                    )
                except HttpError as error:
                    found = error
                self.answers.append((record, found))


def judge_again(
    again: Again,
    repush: Repush,
    records: Sequence[Record],
    answers: Iterable[tuple[Record, Mapping[str, Any] | HttpError | None]],
    deliveries: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, Any], list[str]]:
    """What the second push did, and what was wrong with it."""
    digests = {delivery["file_id"]: delivery["sha256"] for delivery in deliveries}
    done = [record for record in records if record.state == "done"]
    anew = [record for record in done if record.running_at is not None]
    unverified = sum(record.result.get("source") == "unverified" for record in done)
    right = older = 0
    wrong = _against_policy(again, repush, done)
    for record, found in answers:
        key = record.job.r2_key
        digest = digests.get(found.get("file_id")) if isinstance(found, Mapping) else None
        is_older = digest is not None and digest == again.older.get(key)
        right += digest == again.newest[key]
        older += is_older
        if digest != again.newest[key] and not (is_older and repush.refresh is Refresh.NEVER):
            wrong.append(f"{key} → {record.job.destination}: after its push was done, {_said(found, is_older)}")
    figures = {
        "refresh": repush.refresh.value,
        "replaced_objects": len(again.objects),
        "jobs": len(again.jobs),
        "jobs_of_replaced": sum(job.r2_key in again.older for job in again.jobs),
        "unchanged": len(done) - len(anew) - unverified,
        "unverified": unverified,
        "warmed_anew": len(anew),
        "verified_right": right,
        "answered_older": older,
        "push_to_done_ms": spread_ms([r.push_to_end_s for r in done if r.push_to_end_s is not None]),
    }
    return figures, wrong


def _against_policy(again: Again, repush: Repush, done: Iterable[Record]) -> list[str]:
    """Uploads that the policy did not ask for, and those that it did and that were not made."""
    wrong = []
    for record in done:
        where = f"{record.job.r2_key} → {record.job.destination}"
        is_anew = record.running_at is not None
        if is_anew and repush.refresh is Refresh.NEVER:
            wrong.append(f"{where}: was warmed anew in spite of refresh=never")
        elif is_anew and repush.refresh is Refresh.IF_CHANGED and record.job.r2_key not in again.older:
            wrong.append(f"{where}: was warmed anew though its object has not changed")
        elif not is_anew and repush.refresh is Refresh.ALWAYS:
            wrong.append(f"{where}: was not warmed anew in spite of refresh=always")
    return wrong


def _said(found: Mapping[str, Any] | HttpError | None, is_older: bool) -> str:
    if found is None:
        return "the look-up found nothing"
    if isinstance(found, HttpError):
        return f"the look-up failed: {found}"
    return "the look-up answered an older version" if is_older else "the look-up answered bytes of no version"
