"""Ends an attempt in which nothing moves. One cancel scope whose deadline is pushed ahead as bytes move: no timer and
no task. Moving a deadline costs some microseconds, because trio keeps deadlines in order. So it moves once per
`GRACE_S` at most; in between only the name of the awaited side changes."""

from __future__ import annotations

import math
from enum import Enum

import trio
from attrs import define, field

from streamwarm.errors import AttemptError, DestinationError, ErrorCode, SourceError
from streamwarm.stream.departure import Departure, Stage

GRACE_S = 1.0
"""How long the connections' own time-outs go before the watchdog, in seconds. They have the same limit, and can still
read why a peer fell silent (an early 413). The watchdog ends stalls that they miss, one to two grace periods later."""


class Awaited(Enum):
    """What an attempt waits for; the values are as error messages name it."""

    CONNECTION = "the destination's connection"
    SOURCE = "the source"
    DESTINATION = "the destination"
    DEPARTURE = "the departure"
    ANSWER = "the answer"


@define
class Watchdog:
    """What is being waited for, and until when.

    Enter `scope` around the attempt; afterwards, if `scope.cancelled_caught`, raise `verdict()`.
    `body_timeout_s`: longest time without a byte. `answer_timeout_s`: longest wait for the answer after the last byte.
    """

    body_timeout_s: float
    answer_timeout_s: float
    _departure: Departure
    scope: trio.CancelScope = field(init=False)
    _moved_at: float = field(init=False)
    _side: Awaited = Awaited.CONNECTION

    def __attrs_post_init__(self) -> None:
        self._moved_at = trio.current_time()
        self.scope = trio.CancelScope(deadline=self._moved_at + self.body_timeout_s + 2 * GRACE_S)

    @property
    def awaited(self) -> Awaited:
        """The departure says whether it or the answer is awaited; else it is the side whose bytes must move next."""
        match self._departure.stage:
            case Stage.LEAVING:
                return Awaited.DEPARTURE
            case Stage.OBJECT_SENT:
                return Awaited.ANSWER
            case _:
                return self._side

    def expect_source(self) -> None:
        self._expect_bytes(Awaited.SOURCE)

    def expect_destination(self) -> None:
        self._expect_bytes(Awaited.DESTINATION)

    def expect_departure(self) -> None:
        """No byte is awaited: the dispatcher ends that wait by itself, soon."""
        self._moved_at = -math.inf
        self.scope.deadline = math.inf

    def expect_answer(self) -> None:
        self.scope.deadline = trio.current_time() + self.answer_timeout_s

    def verdict(self, moved_bytes: int) -> AttemptError:
        """The error that the wait ended with."""
        awaited = self.awaited
        if awaited is Awaited.ANSWER:
            return DestinationError(
                ErrorCode.DELIVERY_UNKNOWN,
                f"every byte was sent and no answer came for {self.answer_timeout_s:g} s: "
                "the file may have been delivered",
            )
        kind = SourceError if awaited is Awaited.SOURCE else DestinationError
        return kind(
            ErrorCode.TIMEOUT,
            f"{awaited.value} moved no byte for {self.body_timeout_s:g} s after {moved_bytes} bytes",
        )

    def _expect_bytes(self, side: Awaited) -> None:
        self._side = side
        now = trio.current_time()
        if now - self._moved_at >= GRACE_S:
            self._moved_at = now
            self.scope.deadline = now + self.body_timeout_s + 2 * GRACE_S
