"""Faults to inject into the emulator: which requests they hit, how often, and what goes wrong.

A fault of the upload strikes while the body is being read, before the chat is known. A fault of the answer strikes
after the whole body was read. For each request, the oldest matching fault of each sort is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from attrs import define, evolve, field, frozen

from streamwarm.model import Kind

MAX_FAULTS = 1000
"""How many faults may wait at once."""


MAX_FAULT_S = 3600
"""The longest that a fault may delay a request. Clients under test give up long before."""


class FaultKind(StrEnum):
    """What goes wrong. Each description says whether the message is delivered to the chat."""

    STALL_UPLOAD = "stall_upload"
    """Stops reading for `seconds`, then continues."""

    CLOSE_UPLOAD = "close_upload"
    """Closes the connection without an answer. With `at_byte` 0 it does what a kept-alive connection does that is
    reused just as its peer closes it."""

    REFUSE_UPLOAD = "refuse_upload"
    """Answers `status` and `description` before the body is read, then reads nothing for `seconds`, then
    closes."""

    RATE_LIMITED = "rate_limited"
    """429 with `retry_after`; not delivered."""

    REFUSED = "refused"
    """`status` with `description`; not delivered."""

    MIGRATED = "migrated"
    """400 with `migrate_to_chat_id`; not delivered."""

    RAW_ANSWER = "raw_answer"
    """`status`, `content_type` and `body` exactly as given; delivered if `delivers`."""

    NO_FILE = "no_file"
    """A Message without a file; delivered."""

    RETURNED_AS = "returned_as"
    """A Message with the file as another `kind`; delivered."""

    CUT_ANSWER = "cut_answer"
    """Half of the answer, then the connection closes; delivered."""

    NO_ANSWER = "no_answer"
    """The connection closes, or stays silent for `seconds` first; delivered."""

    SLOW_ANSWER = "slow_answer"
    """The answer comes after `seconds`; delivered."""

    CLOSE_AFTER_ANSWER = "close_after_answer"
    """The answer promises keep-alive and the connection closes; delivered."""


UPLOAD_FAULTS = frozenset({FaultKind.STALL_UPLOAD, FaultKind.CLOSE_UPLOAD, FaultKind.REFUSE_UPLOAD})


@frozen
class Fault:
    """One rule. `method`, `bot_id` and `chat_id` limit which requests it hits; None means any. Without a method it hits
    only sends.

    `skip` requests pass before it strikes, then it strikes `times` times (None: until cleared). `at_byte` counts bytes
    of the request's body, rounded up to the piece that was read; beyond the body's end it means the end. Raises
    `ValueError` if members do not fit together.
    """

    fault: FaultKind
    method: str | None = None
    bot_id: int | None = None
    chat_id: int | None = None
    times: int | None = 1
    skip: int = 0
    at_byte: int = 0
    seconds: float = 0.0
    status: int = 400
    description: str = "Bad Request: injected by the sandbox"
    retry_after: int = 1
    migrate_to_chat_id: int = 0
    content_type: str = "text/html"
    body: str = ""
    delivers: bool = False
    kind: Kind = Kind.DOCUMENT

    def __attrs_post_init__(self) -> None:
        if self.of_upload and self.chat_id is not None:
            raise ValueError(f"{self.fault} strikes before the chat is known: leave out chat_id")
        if not 200 <= self.status <= 599 or self.status in (204, 304):
            raise ValueError(f"status {self.status} cannot have a body: use 200 to 599, not 204 or 304")
        if (self.times is not None and self.times < 1) or min(self.skip, self.at_byte) < 0:
            raise ValueError("times must be at least 1, and skip and at_byte at least 0")
        if not 0 <= self.seconds <= MAX_FAULT_S:
            raise ValueError(f"seconds must be from 0 to {MAX_FAULT_S}: every wait has an end")
        if not (self.content_type.isascii() and self.content_type.isprintable()):
            raise ValueError("content_type must be printable ASCII")

    @property
    def of_upload(self) -> bool:
        return self.fault in UPLOAD_FAULTS

    def hits(self, method: str, bot_id: int, chat_id: int | None) -> bool:
        """Whether the fault applies to a request. `method` is in lower case."""
        if self.method is None and not method.startswith("send"):
            return False
        return (
            (self.method is None or self.method.lower() == method)
            and self.bot_id in (None, bot_id)
            and self.chat_id in (None, chat_id)
        )


@define
class FaultPlan:
    """The faults that wait for their request, oldest first; at most `MAX_FAULTS`."""

    _waiting: list[Fault] = field(factory=list)

    @property
    def waiting(self) -> Sequence[Fault]:
        return tuple(self._waiting)

    def add(self, fault: Fault) -> None:
        """Add a fault. Raises `ValueError` if too many wait already."""
        if len(self._waiting) >= MAX_FAULTS:
            raise ValueError(f"{MAX_FAULTS} faults wait already: clear them first")
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, method: str, bot_id: int, chat_id: int | None, *, of_upload: bool) -> Fault | None:
        """Return the fault for this request, if there is one, and count its use.

        `method` is in lower case; `chat_id` is None while it is unknown.
        """
        for index, fault in enumerate(self._waiting):
            if fault.of_upload is not of_upload or not fault.hits(method, bot_id, chat_id):
                continue
            if fault.skip:
                self._waiting[index] = evolve(fault, skip=fault.skip - 1)
                continue
            if fault.times == 1:
                del self._waiting[index]
            elif fault.times is not None:
                self._waiting[index] = evolve(fault, times=fault.times - 1)
            return fault
        return None
