"""What a wrongly remembered departure costs a user: a second message sent in silence, or a job held for nothing."""

from __future__ import annotations

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from streamwarm.errors import AttemptError, DestinationError, ErrorCode, StoreUnavailable
from streamwarm.model import Claim, Lease
from streamwarm.stream.departure import NOTE_S, Departure, Stage
from streamwarm.stream.watchdog import Awaited, Watchdog
from tests.worlds.stream import JOB

CLAIM = Claim(JOB, Lease(JOB.id, "lease-token"))
TURN_AT = 77.0


@define
class Script:
    """The dispatcher's turn and the store's note, each with what goes wrong. `done` is what happened, in order."""

    turn_fails: bool = False
    turn_s: float = 0.0
    note_s: float = 0.0
    store_fails: bool = False
    lease_is_lost: bool = False
    done: list[str] = field(factory=list)

    async def depart(self, claim: Claim, size_bytes: int) -> float:
        assert (claim, size_bytes) == (CLAIM, 5)
        await trio.sleep(self.turn_s)
        if self.turn_fails:
            raise DestinationError(ErrorCode.RATE_LIMITED, "the chat is paused")
        self.done.append("turn")
        return TURN_AT

    async def note(self, lease: Lease, *, departed: bool = True) -> bool:
        assert lease == CLAIM.lease
        await trio.sleep(self.note_s)
        if self.store_fails:
            raise StoreUnavailable("the disk is full")
        self.done.append("noted" if departed else "cleared")
        return not self.lease_is_lost

    def departure(self, *, noted: bool) -> Departure:
        return Departure(CLAIM, self.depart, self.note, noted)


async def test_the_note_is_stored_after_the_turn_and_before_the_last_bytes(autojump_clock: MockClock) -> None:
    script = Script()
    departure = script.departure(noted=True)
    await departure.leave(5)
    assert script.done == ["turn", "noted"]
    assert (departure.stage, departure.answer_due, departure.departed_at) == (Stage.LEFT, True, TURN_AT)
    departure.object_sent()
    assert departure.answer_due


async def test_what_may_be_sent_again_costs_the_store_nothing(autojump_clock: MockClock) -> None:
    script = Script(store_fails=True)
    departure = script.departure(noted=False)
    await departure.leave(5)
    await departure.take_back()
    assert script.done == ["turn"]
    assert not departure.answer_due


@pytest.mark.parametrize("noted", [False, True])
async def test_an_answer_that_took_nothing_leaves_none_due_but_its_time_counts(
    noted: bool, autojump_clock: MockClock
) -> None:
    script = Script()
    departure = script.departure(noted=noted)
    await departure.leave(5)
    await departure.take_back()
    await departure.take_back()
    assert script.done == (["turn", "noted", "cleared"] if noted else ["turn"])
    assert (departure.stage, departure.answer_due, departure.departed_at) == (Stage.TAKEN_BACK, False, TURN_AT)


@pytest.mark.parametrize(
    "script",
    [Script(turn_fails=True), Script(store_fails=True), Script(lease_is_lost=True), Script(note_s=NOTE_S + 1)],
    ids=["turn", "store", "lease", "slow-store"],
)
async def test_bytes_that_may_not_leave_leave_no_answer_to_lose(script: Script, autojump_clock: MockClock) -> None:
    departure = script.departure(noted=True)
    with pytest.raises(AttemptError):
        await departure.leave(5)
    assert (departure.answer_due, departure.departed_at) == (False, None)


@pytest.mark.parametrize("script", [Script(turn_s=9), Script(note_s=9)], ids=["turn", "note"])
async def test_an_attempt_cancelled_before_its_last_bytes_has_sent_nothing(
    script: Script, autojump_clock: MockClock
) -> None:
    departure = script.departure(noted=True)
    with trio.move_on_after(1):
        await departure.leave(5)
    assert (departure.answer_due, departure.departed_at) == (False, None)


@pytest.mark.parametrize("trouble", ["store_fails", "note_s"])
async def test_a_note_that_cannot_be_cleared_in_time_holds_up_nothing(trouble: str, autojump_clock: MockClock) -> None:
    script = Script()
    departure = script.departure(noted=True)
    await departure.leave(5)
    setattr(script, trouble, NOTE_S * 10)
    with trio.fail_after(NOTE_S + 1):
        await departure.take_back()
    assert not departure.answer_due


async def test_an_attempt_cancelled_while_its_note_is_cleared_still_awaits_its_answer(
    autojump_clock: MockClock,
) -> None:
    script = Script()
    departure = script.departure(noted=True)
    await departure.leave(5)
    script.note_s = 5.0
    with trio.move_on_after(1):
        await departure.take_back()
    assert departure.answer_due


async def test_the_watchdog_blames_a_lost_answer_only_once_every_byte_was_sent(autojump_clock: MockClock) -> None:
    departure = Script().departure(noted=False)
    watchdog = Watchdog(60.0, 60.0, departure)
    assert watchdog.awaited is Awaited.CONNECTION
    watchdog.expect_source()
    assert watchdog.verdict(3).message == "the source moved no byte for 60 s after 3 bytes"
    await departure.leave(5)
    watchdog.expect_destination()
    assert watchdog.verdict(4).code is ErrorCode.TIMEOUT  # the last bytes are still on their way out
    departure.object_sent()
    assert watchdog.verdict(5).code is ErrorCode.DELIVERY_UNKNOWN
    await departure.take_back()
    again = Watchdog(60.0, 60.0, departure)  # the next try of the same attempt
    assert again.verdict(0).message == "the destination's connection moved no byte for 60 s after 0 bytes"
