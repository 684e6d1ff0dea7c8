"""Where a lost answer is to be held, the last bytes leave only once it is written down that they do."""

from __future__ import annotations

import pytest
import trio

from streamwarm.backlog.settlement import Done, Release, Retry
from streamwarm.errors import ErrorCode, StoreUnavailable
from streamwarm.model import Kind, Lease
from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.stream.departure import NoteDeparture
from tests.worlds.scripted_bucket import ETAG, answering, holding
from tests.worlds.stream import content, job, world

BODY = content(300_000)


async def store_away(lease: Lease, *, departed: bool = True) -> bool:
    raise StoreUnavailable("the disk is full")


async def lease_lost(lease: Lease, *, departed: bool = True) -> bool:
    return False


@pytest.mark.parametrize(
    ("note", "why"), [(store_away, "the disk is full"), (lease_lost, "its lease was lost")], ids=["store", "lease"]
)
async def test_what_cannot_be_noted_is_not_delivered_and_costs_no_attempt(note: NoteDeparture, why: str) -> None:
    async with world(holding(BODY, cuts=[]), telegram={"on_unknown": "hold"}) as w:
        finished = await w.work(job(), note_departure=note)
        assert w.digests == []
        settlement = finished.settlement
        assert isinstance(settlement, Retry)
        assert (settlement.error.code, settlement.counts) == (ErrorCode.WORKER_LOST, False)
        assert not settlement.possible_duplicate
        assert why in settlement.error.message


async def test_an_upload_that_may_be_sent_again_pays_nothing_for_it() -> None:
    async with world(holding(BODY, cuts=[])) as w:
        finished = await w.work(job(), note_departure=store_away)
        assert isinstance(finished.settlement, Done)


@pytest.mark.parametrize("stops", [False, True], ids=["to-its-end", "stopped-before-it-is-sent"])
async def test_a_refused_hand_off_leaves_no_answer_to_lose(stops: bool) -> None:
    notes: list[bool] = []

    async def note(lease: Lease, *, departed: bool = True) -> bool:
        notes.append(departed)
        if stops and len(notes) == 3:
            await trio.sleep_forever()
        return True

    film = answering(200, BODY, etag=ETAG, content_type="video/mp4")
    async with world(film, telegram={"on_unknown": "hold", "handoff": "auto"}) as w:
        w.emulator.inject(Fault(FaultKind.REFUSED, description="Bad Request: failed to get HTTP URL content"))
        finished = await w.work(job(kind=Kind.VIDEO), note_departure=note, stop_when=lambda: stops and len(notes) == 3)
        assert len(w.digests) == (0 if stops else 1)
    assert isinstance(finished.settlement, Release if stops else Done)
    assert notes == [True, False, True]
