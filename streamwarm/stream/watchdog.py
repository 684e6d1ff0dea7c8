"""Ends an attempt in which nothing moves. One cancel scope whose deadline is pushed ahead as bytes move: no timer and
no task. Moving a deadline costs some microseconds, as trio keeps them in order, so it is moved once in `GRACE_S` at the
most; in between only a word changes."""

from __future__ import annotations

import math

import trio
from attrs import define, field

from streamwarm.errors import AttemptError, DestinationError, ErrorCode, SourceError

GRACE_S = 1.0
"""The connections have the same limit of their own, and they can still read why a far side fell silent (an early 413):
they go first, and the watchdog ends what they do not see. It ends the attempt one to two of these late."""


@define
class Watchdog:
    """Who is being waited for, and until when.

    Enter `scope` around the attempt; afterwards, if `scope.cancelled_caught`, raise `verdict()`.
    `body_timeout_s`: longest time without a byte. `answer_timeout_s`: longest wait for the answer after the last byte.
    """

    body_timeout_s: float
    answer_timeout_s: float
    scope: trio.CancelScope = field(init=False)
    _moved_at: float = field(init=False)
    _awaited: str = "the destination's connection"

    def __attrs_post_init__(self) -> None:
        self._moved_at = trio.current_time()
        self.scope = trio.CancelScope(deadline=self._moved_at + self.body_timeout_s + 2 * GRACE_S)

    def expect_source(self) -> None:
        self._expect_bytes("the source")

    def expect_destination(self) -> None:
        self._expect_bytes("the destination")

    def expect_departure(self) -> None:
        """Nobody's byte is awaited: the dispatcher ends that wait by itself, soon."""
        self._awaited, self._moved_at = "the departure", -math.inf
        self.scope.deadline = math.inf

    def expect_answer(self) -> None:
        self._awaited = "the answer"
        self.scope.deadline = trio.current_time() + self.answer_timeout_s

    def verdict(self, moved_bytes: int) -> AttemptError:
        """The error that the silence amounts to."""
        if self._awaited == "the answer":
            return DestinationError(
                ErrorCode.DELIVERY_UNKNOWN,
                f"every byte was sent and no answer came for {self.answer_timeout_s:g} s: "
                "the file may have been delivered",
            )
        kind = SourceError if self._awaited == "the source" else DestinationError
        return kind(
            ErrorCode.TIMEOUT,
            f"{self._awaited} moved no byte for {self.body_timeout_s:g} s after {moved_bytes} bytes",
        )

    def _expect_bytes(self, whom: str) -> None:
        self._awaited = whom
        now = trio.current_time()
        if now - self._moved_at >= GRACE_S:
            self._moved_at = now
            self.scope.deadline = now + self.body_timeout_s + 2 * GRACE_S
