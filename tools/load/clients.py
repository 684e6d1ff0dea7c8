"""The websocket clients: each has its connection, pushes its share of the jobs, and follows them.

Open loop: a push goes out at its intended arrival however many are under way, so a service that falls behind shows it.
Closed loop: each client keeps so many jobs in flight, which shows the most that the service can do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from load.ledger import Ledger, Record
from load.plan import PlannedJob
from streamwarm.cli.client import CallError, Client, Unreachable, connect

QUEUE_FULL, RATE_LIMITED = -32001, -32005
LATER_S = 1.0
"""The pause before a push that was refused with either of these goes out again, where the service does not say."""


@define(eq=False)
class Crowd:
    """All clients of a run. `run` returns once every job has ended. `on_end` is called with each that does."""

    url: str
    token: str | None = field(repr=False)
    jobs: Sequence[PlannedJob]
    clients: int
    in_flight: int
    ledger: Ledger
    on_end: Callable[[Record], None] = lambda _: None
    connected: int = 0
    refused_full: int = 0
    _ended: trio.Event = field(factory=trio.Event)
    _room: dict[int, trio.Semaphore] = field(factory=dict)
    _all_connected: trio.Event = field(factory=trio.Event)

    @property
    def all_in(self) -> bool:
        """Whether every client got its connection."""
        return self._all_connected.is_set()

    async def run(self) -> None:
        """Raises `Unreachable` where the service cannot be reached, or goes away."""
        self.ledger.on_end = self._on_end
        async with trio.open_nursery() as nursery:
            for number in range(self.clients):
                nursery.start_soon(self._run_client, number)

    async def _run_client(self, number: int) -> None:
        mine = [job for job in self.jobs if job.client == number]
        self._room[number] = trio.Semaphore(self.in_flight)
        async with connect(self.url, self.token) as client, trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, client)
            await self._wait_for_the_others()
            started_at = self.ledger.clock()
            async with trio.open_nursery() as pushes:
                for job in mine:
                    intended_at = await self._turn(number, job, started_at)
                    pushes.start_soon(self._push, client, self.ledger.pushed(job, intended_at=intended_at))
            if self.jobs:
                await self._ended.wait()
            nursery.cancel_scope.cancel()

    async def _wait_for_the_others(self) -> None:
        """All begin together: a hundred handshakes must not count as the first jobs' latency."""
        self.connected += 1
        if self.connected == self.clients:
            self._all_connected.set()
        await self._all_connected.wait()

    async def _turn(self, number: int, job: PlannedJob, started_at: float) -> float:
        """Wait until this job is to be pushed; when it was meant to be."""
        if job.at_s is None:
            await self._room[number].acquire()
            return self.ledger.clock()
        intended_at = started_at + job.at_s
        await trio.sleep(max(0.0, intended_at - self.ledger.clock()))
        return intended_at

    async def _push(self, client: Client, record: Record) -> None:
        while True:
            try:
                reply = await client.call("push", {"jobs": [record.job.as_job()], "watch": True})
            except CallError as error:
                if error.code not in (QUEUE_FULL, RATE_LIMITED):
                    self.ledger.refused(record, str(error.code), str(error))
                    return
                self.refused_full += error.code == QUEUE_FULL
                await trio.sleep(error.data.get("retry_after_s", LATER_S))
                continue
            self.ledger.answered(record, reply)
            return

    async def _listen(self, client: Client) -> None:
        async for note in client.notifications:
            if note["method"] == "event":
                self.ledger.notified(note["params"])
        raise Unreachable("it closed a connection while jobs were under way")

    def _on_end(self, record: Record) -> None:
        self._room[record.job.client].release()
        self.on_end(record)
        if self.ledger.ended == len(self.jobs):
            self._ended.set()
