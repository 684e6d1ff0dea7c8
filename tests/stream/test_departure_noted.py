"""Where a lost answer is to be held, the last bytes leave only once it is written down that they do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from scripted_bucket import holding
from stream_world import content, job, world

from streamwarm.backlog.store import Again, Done
from streamwarm.errors import ErrorCode, StoreUnavailable
from streamwarm.model import Lease

BODY = content(300_000)


async def store_away(_: Lease) -> bool:
    raise StoreUnavailable("the disk is full")


async def lease_lost(_: Lease) -> bool:
    return False


@pytest.mark.parametrize(
    ("note", "why"), [(store_away, "the disk is full"), (lease_lost, "its lease was lost")], ids=["store", "lease"]
)
async def test_what_cannot_be_noted_is_not_delivered_and_costs_no_attempt(
    note: Callable[[Lease], Awaitable[bool]], why: str
) -> None:
    async with world(holding(BODY, cuts=[]), telegram={"on_unknown": "hold"}) as w:
        finished = await w.work(job(), note_departure=note)
        assert w.digests == []
        settlement = finished.settlement
        assert isinstance(settlement, Again)
        assert (settlement.error.code, settlement.counts) == (ErrorCode.WORKER_LOST, False)
        assert not settlement.possible_duplicate
        assert why in settlement.error.message


async def test_an_upload_that_may_be_sent_again_pays_nothing_for_it() -> None:
    async with world(holding(BODY, cuts=[])) as w:
        finished = await w.work(job(), note_departure=store_away)
        assert isinstance(finished.settlement, Done)
