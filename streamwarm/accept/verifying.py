"""Asks a destination whether recorded references still work: a page per call, within its rates and a time.

Nothing is sent, and no record is changed. A 429 is waited out if it ends within the call's time; otherwise the page
ends before the record that was not asked for, and `stopped` says when to go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import trio
from attrs import define, field

from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.record_requests import VerifyRecords
from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.accept.wire.sizes import MAX_PAGE_BYTES, next_text, place_of
from streamwarm.accept.wire.views import record_view
from streamwarm.backlog.records import RecordFilter, RecordPlace
from streamwarm.backlog.store import Store
from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.model import JsonObject
from streamwarm.send.destination import Destination
from streamwarm.send.verifying import Verified, Verifies, Works
from streamwarm.warm_record import WarmRecord

AT_ONCE = 4
"""Questions under way at a time."""

PER_S = 20.0
"""Questions per second. Telegram takes about 30 requests a second from a bot, and uploads go on meanwhile."""

WITHIN_S = 20.0
"""How long a call goes on asking. A client waits two minutes for an answer."""

ASK_S = 15.0
"""How long one answer may take. Telegram fetches a file before it answers `getFile`."""

_BUSY_S = 5.0
"""When to come back while another client has the destination asked."""


@define
class _Found:
    """What has been found so far. `size` is that of both lists as JSON, in bytes."""

    good: int = 0
    bad: list[JsonObject] = field(factory=list)
    unproven: list[JsonObject] = field(factory=list)
    size: int = 0

    def add(self, record: WarmRecord, found: Verified) -> None:
        if found.works is Works.GOOD:
            self.good += 1
            return
        item = {"record": record_view(record), "why": found.why}
        (self.bad if found.works is Works.BAD else self.unproven).append(item)
        self.size += len(json_text(item))


@define(eq=False)
class _Turn:
    """One destination: one client at a time has it asked. `free_at` is when its last 429 is over (trio's clock)."""

    lock: trio.Lock = field(factory=trio.Lock)
    free_at: float = 0.0


class Verifier:
    def __init__(self, store: Store, destinations: Mapping[str, Destination], accounts: Mapping[str, str]) -> None:
        self._store = store
        self._destinations = destinations
        self._accounts = accounts
        self._turns = {name: _Turn() for name in destinations}

    async def verify(self, request: VerifyRecords) -> JsonObject:
        """`{"good", "bad", "unproven", "next", "stopped"?}`. Raises `StoreUnavailable`, and `CallRefusedError` while
        another client has this destination asked."""
        turn = self._turns[request.destination]
        if turn.lock.locked():
            message = f"{request.destination} is being asked for another client; come back when that is done"
            raise CallRefusedError(Reason.RATE_LIMITED, message, retry_after_s=_BUSY_S)
        async with turn.lock:
            which = RecordFilter(destination=request.destination, prefix=request.prefix)
            read = await self._store.records(which, limit=request.limit, after=request.after)
            page, stopped = _Found(), None
            place = request.after or RecordPlace(request.prefix, "", "", "")  # before the first record
            deadline = trio.current_time() + WITHIN_S
            records = list(reversed(read.records))  # popped from its end
            while records and stopped is None and page.size < MAX_PAGE_BYTES and trio.current_time() < deadline:
                some = [records.pop() for _ in range(min(AT_ONCE, len(records)))]
                found = await self._ask_each(some, turn, deadline)
                for record, answer in zip(some, found, strict=True):
                    if answer is None:
                        stopped = _stopped(turn)
                        break
                    page.add(record, _verdict(answer))
                    place = place_of(record)
                stopped = stopped or _why_stop(found)
            after = read.next if not records and stopped is None else place
            view: dict[str, Any] = {"good": page.good, "bad": page.bad, "unproven": page.unproven}
            view["next"] = next_text(after)
            return view if stopped is None else view | {"stopped": stopped}

    async def _ask_each(
        self, records: Sequence[WarmRecord], turn: _Turn, deadline: float
    ) -> list[Verified | DestinationError | None]:
        """An answer per record. None: it was not asked for, since a 429 lasts beyond the deadline."""
        answers: list[Verified | DestinationError | None] = [None] * len(records)

        async def ask(index: int) -> None:
            answers[index] = await self._ask(records[index], turn, deadline)

        async with trio.open_nursery() as nursery:
            for index in range(len(records)):
                nursery.start_soon(ask, index)
                await trio.sleep(1 / PER_S)
        return answers

    async def _ask(self, record: WarmRecord, turn: _Turn, deadline: float) -> Verified | DestinationError | None:
        destination, account = self._destinations[record.destination], self._accounts.get(record.destination, "")
        if record.account != account:
            return Verified(Works.UNPROVEN, f"its account is {record.account!a}, and that of the settings {account!a}")
        if not isinstance(destination, Verifies):
            return Verified(Works.UNPROVEN, "destinations of this type cannot be asked")
        while turn.free_at <= deadline:
            await trio.sleep_until(turn.free_at)
            try:
                with trio.fail_after(ASK_S):
                    return await destination.verify(record.result)
            except trio.TooSlowError:
                message = f"the destination did not answer within {ASK_S:g} s"
                return DestinationError(ErrorCode.TIMEOUT, message)
            except DestinationError as error:
                if error.code is not ErrorCode.RATE_LIMITED:
                    return error
                turn.free_at = max(turn.free_at, trio.current_time() + (error.retry_after_s or 1.0))
        return None


def _verdict(answer: Verified | DestinationError) -> Verified:
    return Verified(Works.UNPROVEN, answer.message) if isinstance(answer, DestinationError) else answer


def _stopped(turn: _Turn) -> JsonObject:
    wait_s = round(max(0.0, turn.free_at - trio.current_time()), 3)
    return {"message": "the destination answered 429, and is asked no more until that is over", "retry_after_s": wait_s}


def _why_stop(answers: Sequence[Verified | DestinationError | None]) -> JsonObject | None:
    """Why nothing more is asked now: no request of a round was answered, or each next one will be refused."""
    errors = [answer for answer in answers if isinstance(answer, DestinationError)]
    if errors and (len(errors) == len(answers) or any(error.pauses_destination for error in errors)):
        return {"message": f"the destination could not be asked: {errors[0].message}"}
    return None
