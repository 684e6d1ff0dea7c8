"""Whether what was delivered is what was stored: by the emulator's own digests, and by what a bot is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import trio
from attrs import define, field

from load.http_clients import HttpError
from load.ledger import Record
from load.target import Target

ASKED = 50
"""Jobs of which `/v1/media` is asked, as a bot would: enough to see that it answers, few enough to cost nothing."""

Delivery = Mapping[str, Any]


@define
class Verdict:
    """`checked` digests of done jobs agree, `wrong` says of which they do not, and why. `by` is who told the digest:
    `emulator`, or `result` where Telegram is real and only the service's own word is to be had. `repeated` are
    deliveries of what the same bot had delivered before."""

    by: str
    checked: int = 0
    wrong: list[str] = field(factory=list)
    repeated: int = 0
    media_asked: int = 0


async def verify(target: Target, records: Sequence[Record], already: Mapping[str, int]) -> Verdict:
    """`already` tells how many deliveries each emulator (by `base_url`) had before the run. Raises `HttpError`."""
    deliveries: list[Delivery] = []
    for emulator in target.distinct_emulators():
        deliveries += await emulator.deliveries(already[emulator.base_url])
    verdict = judge(records, deliveries, known=frozenset(target.emulators))
    try:
        await _ask_as_a_bot(target, records, verdict)
    except* HttpError as away:
        verdict.wrong.append(f"/v1/media could not be asked: {away.exceptions[0]}")
    return verdict


def judge(records: Iterable[Record], deliveries: Sequence[Delivery], *, known: frozenset[str]) -> Verdict:
    """Compare. `known` are the destinations whose deliveries these are. Pure."""
    by_file_id = {delivery["file_id"]: delivery for delivery in deliveries}
    digests = {delivery["sha256"] for delivery in deliveries}
    verdict = Verdict("emulator" if known else "result")
    for record in records:
        where = f"{record.job.r2_key} → {record.job.destination}"
        if record.state == "done":
            said = by_file_id.get(record.result.get("file_id")) if record.job.destination in known else record.result
            if said is None:
                verdict.wrong.append(f"{where}: the recorded file_id was never delivered")
            elif (said.get("sha256"), said.get("bytes")) != (record.job.delivered_sha256, record.job.bytes):
                verdict.wrong.append(f"{where}: other bytes were delivered than are stored")
            else:
                verdict.checked += 1
        elif record.job.expect == "sha256_mismatch" and record.job.delivered_sha256 in digests:
            verdict.wrong.append(f"{where}: its digest is wrong and it was published all the same")
    verdict.repeated = len(deliveries) - len({(one["bot_id"], one["sha256"]) for one in deliveries})
    return verdict


async def _ask_as_a_bot(target: Target, records: Sequence[Record], verdict: Verdict) -> None:
    done = [record for record in records if record.state == "done"]
    step = max(1, len(done) // ASKED)
    limit = trio.CapacityLimiter(4)

    async def ask(record: Record) -> None:
        job = record.job
        async with limit:
            found = await target.http.media(job.destination, job.kind, job.sha256 or job.r2_key)
        if found is None or found.get("file_id") != record.result.get("file_id"):
            verdict.wrong.append(f"{job.r2_key} → {job.destination}: /v1/media does not give the reference of its job")
        verdict.media_asked += 1

    async with trio.open_nursery() as nursery:
        for record in done[::step][:ASKED]:
            nursery.start_soon(ask, record)
