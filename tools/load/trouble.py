"""Stands before the sandbox's bucket and, in the middle of a run, refuses everything for a while: what a rotated key or
an outage does to a bucket.

The service only reads from this bucket, so each piece that begins with a method is a whole request without a body.
Downloads that are under way go on, as they do when a key is rotated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, field

from load.ledger import Record

PIECE_BYTES = 256 * 1024
BEGINS_AT_SHARE = 0.3
"""The share of jobs that have ended when the trouble begins, so that there are jobs before, within and after it."""

LOOK_EVERY_S = 0.05


class TroubleKind(StrEnum):
    ROTATED_KEY = "rotated key"
    OUTAGE = "outage"


_ANSWERS = {
    TroubleKind.ROTATED_KEY: (
        ("403 Forbidden", "SignatureDoesNotMatch", "The request signature we calculated does not match."),
        ("403 Forbidden", "InvalidAccessKeyId", "The access key ID you provided does not exist in our records."),
    ),
    TroubleKind.OUTAGE: (("503 Service Unavailable", "ServiceUnavailable", "Please try again later."),),
}
"""What the bucket says, in turn."""


@define(eq=False)
class Trouble:
    """One trouble of one bucket. `began_at` and `ended_at` are on the run's clock, None before they come. `refusals`
    has the time and the first line of each request that was refused."""

    kind: TroubleKind
    seconds: float
    refusals: list[tuple[float, str]] = field(factory=list)
    began_at: float | None = None
    ended_at: float | None = None
    _where: tuple[str, int] = field(default=("", 0), init=False)

    @property
    def refused(self) -> int:
        return len(self.refusals)

    @property
    def is_on(self) -> bool:
        return self.began_at is not None and self.ended_at is None

    async def serve(self, endpoint_url: str, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Relay to the bucket at `endpoint_url`. Reports the address to use instead."""
        where = urlsplit(endpoint_url)
        self._where = (where.hostname or "", where.port or 80)
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, self._relay, 0, host="127.0.0.1"))
            task_status.started(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")

    async def make(self, ended: Callable[[], int], jobs: int) -> None:
        """Wait until enough jobs have ended, then refuse every request for `seconds`."""
        while ended() < jobs * BEGINS_AT_SHARE:
            await trio.sleep(LOOK_EVERY_S)
        self.began_at = trio.current_time()
        await trio.sleep(self.seconds)
        self.ended_at = trio.current_time()

    def cost(self, records: Iterable[Record]) -> dict[str, Any]:
        """What the trouble cost. `attempts_repeated` are those beyond the first of each job. Jobs that must fail
        (`--bad`) are not counted as failed."""
        by_job = {record.id: record for record in records if record.id is not None}
        ends = [record.ended_at for record in by_job.values() if record.ended_at is not None]
        all_ended = bool(ends) and len(ends) == len(by_job)
        over = self.ended_at
        return {
            "kind": self.kind.value,
            "seconds": self.seconds,
            "began": self.began_at is not None,
            "refused_requests": self.refused,
            "jobs_failed": sum(record.state == "failed" and not record.as_expected for record in by_job.values()),
            "attempts_repeated": sum(max(0, record.attempts - 1) for record in by_job.values()),
            "seconds_until_all_ended": round(max(0.0, max(ends) - over), 3) if over is not None and all_ended else None,
        }

    async def _relay(self, client: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            async with client, await trio.open_tcp_stream(*self._where) as bucket, trio.open_nursery() as both:
                both.start_soon(self._ask, client, bucket, both.cancel_scope)
                both.start_soon(_forward, bucket, client, both.cancel_scope)

    async def _ask(self, client: trio.SocketStream, bucket: trio.SocketStream, both: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while piece := await client.receive_some(PIECE_BYTES):
                if self.is_on:
                    await client.send_all(self._refusal(piece.partition(b"\r\n")[0].decode("latin-1")))
                else:
                    await bucket.send_all(piece)
        both.cancel()

    def _refusal(self, line: str) -> bytes:
        answers = _ANSWERS[self.kind]
        status, code, message = answers[self.refused % len(answers)]
        self.refusals.append((trio.current_time(), line))
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return head if line.startswith("HEAD ") else head + body


async def _forward(bucket: trio.SocketStream, client: trio.SocketStream, both: trio.CancelScope) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while piece := await bucket.receive_some(PIECE_BYTES):
            await client.send_all(piece)
    both.cancel()
