"""On a slow disk, an outcome and the claim that follows it must not each cost a sync."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from streamwarm.backlog.group_commit import GroupCommit, Result


async def test_the_claim_that_follows_an_outcome_a_turn_later_shares_its_sync() -> None:
    groups: list[list[str]] = []

    async def commit(operations: Sequence[str]) -> Sequence[Result]:
        groups.append(list(operations))
        await trio.lowlevel.checkpoint()
        return [Result(value=operation) for operation in operations]

    writer = GroupCommit(commit)

    async def claim() -> None:
        for _ in range(2):  # a worker says that it is idle, and the dispatcher wakes
            await trio.lowlevel.checkpoint()
        assert await writer.submit("claim") == "claim"
        writer.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        nursery.start_soon(writer.submit, "outcome")
        nursery.start_soon(claim)
    assert [sorted(group) for group in groups] == [["claim", "outcome"]]
