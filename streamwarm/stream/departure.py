"""Keeps whether the last bytes of an attempt may have left: what lost answers and budgets are decided by.

A destination can complete an object only once its last bytes have arrived, so those are the ones that count. They wait
for two things, in this order: their lane's turn (`dispatch/departure_turns.py`), and, with `on_unknown = hold`, a note
in the store that they are about to leave. The note is stored before they leave, because a process that is killed
afterwards reports nothing. `rescue` then finds the note and moves the job to `unknown` instead of sending it again.

    KEPT ──► LEAVING ──► LEFT ──► OBJECT_SENT
               ▲          │        │
               │          ▼        ▼
               └────── TAKEN_BACK ◄┘

From LEFT on, an attempt that ends without an answer may have been delivered. Only an answer that the destination took
nothing takes that back, and clears the note.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

import trio
from attrs import define

from streamwarm.errors import AttemptError, ErrorCode, StoreUnavailable
from streamwarm.model import Claim, Lease

NOTE_S = 10.0
"""How long the store may take for the note, in seconds. The destination waits for the last bytes meanwhile; most give
up on a request that is silent for a minute."""

AwaitTurn = Callable[[Claim, int], Awaitable[float]]
"""The dispatcher's `depart`: takes the size of the upload's files, waits for the turn, returns when that was (Unix
seconds)."""


class NoteDeparture(Protocol):
    """The store's `note_departure`."""

    async def __call__(self, lease: Lease, *, departed: bool = True) -> bool: ...


class Stage(Enum):
    """How far the last bytes have come."""

    KEPT = auto()
    LEAVING = auto()
    """They wait for their turn and for the note."""
    LEFT = auto()
    """They may leave at any moment from now on, so the answer is due."""
    OBJECT_SENT = auto()
    """The network has taken every byte of the object. What the destination adds behind it is short and follows at once,
    so from now on the answer is what is awaited."""
    TAKEN_BACK = auto()
    """The destination answered that it took nothing."""


@define
class Departure:
    """The departure of one attempt. It may depart again after `take_back`.

    `noted`: the store must note the departure before the last bytes leave (`on_unknown = hold`). `departed_at` is the
    latest departure, by the dispatcher's clock. It stays after `take_back`, because the message may have counted.
    """

    _claim: Claim
    _await_turn: AwaitTurn
    _note_departure: NoteDeparture
    noted: bool
    stage: Stage = Stage.KEPT
    departed_at: float | None = None

    @property
    def answer_due(self) -> bool:
        """The last bytes may have left, and it is not known that nothing came of them."""
        return self.stage in {Stage.LEFT, Stage.OBJECT_SENT}

    async def leave(self, size_bytes: int) -> None:
        """Wait until the last bytes of an upload may leave. They may not if this raises.

        `size_bytes` are all files of the upload together.

        Raises `DestinationError` if the turn is far off, and `AttemptError` if the note could not be stored.
        """
        self.stage = Stage.LEAVING
        departed_at = await self._await_turn(self._claim, size_bytes)
        if self.noted:
            await self._note()
        # No checkpoint from here to the return: an attempt that is cancelled in this method has sent nothing.
        self.stage, self.departed_at = Stage.LEFT, departed_at

    def object_sent(self) -> None:
        """The network has taken every byte of the object (`Body.object_sent`)."""
        self.stage = Stage.OBJECT_SENT

    async def take_back(self) -> None:
        """The destination answered that it took nothing, so there is no answer left to lose.

        If the store does not clear the note in time, it stays. Should the process die then, the job is held needlessly.
        """
        if not self.answer_due:
            return
        if self.noted:
            # The answer stays due until the note is cleared: an attempt that is cancelled here ends as `unknown`.
            with suppress(StoreUnavailable), trio.move_on_after(NOTE_S):
                await self._note_departure(self._claim.lease, departed=False)
        self.stage = Stage.TAKEN_BACK

    async def _note(self) -> None:
        why = f"the store did not take it within {NOTE_S:g} s"
        with trio.move_on_after(NOTE_S):
            try:
                if await self._note_departure(self._claim.lease):
                    return
                why = "its lease was lost"
            except StoreUnavailable as exc:
                why = str(exc)
        raise AttemptError(
            ErrorCode.WORKER_LOST,
            f"the last bytes were kept back, for it could not be noted that they leave (on_unknown = hold): {why}",
            counts=False,
        )
