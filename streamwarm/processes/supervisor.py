"""The supervisor (`serve.processes` > 1): starts the members of the service, and restarts those that die.

No part of the service itself runs here, so little can fail: sockets, a lock, and one task per member. `messages.py`
explains the roles.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from subprocess import PIPE

import trio
from attrs import define, evolve, field

from streamwarm.errors import SettingsError, StoreUnavailable
from streamwarm.processes.messages import UNREACHABLE, USAGE, Start, Started, Stop, decode, encode, lines_of
from streamwarm.retry import backoff_s
from streamwarm.service.machine import Machine
from streamwarm.service.members import FRONT, SUPERVISOR, LostMember, Report, Role
from streamwarm.service.open import locked_store, rescue_locked
from streamwarm.service.ready_file import Endpoints, drop_stale_ready_file, ready_file
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.schema import Settings, check_together
from streamwarm.watch.observations import Lifecycle, Observation, Observer, ProcessLost

STEADY_S = 60.0
"""A member that ran this long has recovered: its next death counts as the first."""

_BACKOFF_STEPS = 5
"""Deaths in a row after which the wait before a restart stops growing, at 16 s."""

ORDERS_WAITING = 256
"""Messages that may wait for a member that does not read its pipe. Further ones, in practice reports, are dropped."""

GRACE_S = 30.0
"""How long a member may take beyond `drain_s`: to record the last outcomes, close connections and close the store."""

FORCED_GRACE_S = 15.0
"""How long a member may take to end after it was told to end at once; then it is killed."""


async def supervise(settings: Settings, shutdown: Shutdown, observe: Observer, machine: Machine) -> None:
    """Serve with `serve.processes` processes until `shutdown`.

    Raises `SettingsError` or `StoreUnavailable` if they cannot start; the member has printed the reason.
    """
    check_together(settings)
    at_start: list[Observation] = []
    async with locked_store(settings, observe) as lock, AsyncExitStack() as open_sockets:
        drop_stale_ready_file(settings.serve.ready_file)
        sockets = await _open_sockets(settings, machine, open_sockets)
        await rescue_locked(settings, machine, at_start.append)
        members = _members(settings, sockets, lock, observe, machine)
        async with trio.open_nursery() as stopping:
            async with trio.open_nursery() as living:
                for member in members:
                    living.start_soon(member.keep_running)
                await _until_requested(settings, shutdown, members, observe, at_start)
                await open_sockets.aclose()  # from now on the system refuses new connections
                for member in members:
                    member.stop()
                stopping.start_soon(_stop_in_time, settings.serve.drain_s, shutdown, members)
            stopping.cancel_scope.cancel()
    observe(Lifecycle("stopped"))


async def _until_requested(
    settings: Settings,
    shutdown: Shutdown,
    members: Sequence[_Member],
    observe: Observer,
    at_start: Sequence[Observation],
) -> None:
    """Serve until a shutdown is requested. `at_start` was observed while the store was opened; member 1 counts it."""
    for observation in at_start:
        observe(observation)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on, shutdown.requested, nursery.cancel_scope)
        for member in members:
            await member.started.wait()
        members[0].send(encode(Report(SUPERVISOR, at_start)))
        endpoints = Endpoints(members[0].addresses.websocket, members[0].addresses.http)
        with ready_file(settings.serve.ready_file, endpoints):
            observe(Lifecycle("serving", f"{len(members)} processes, {endpoints.websocket} {endpoints.http}"))
            await trio.sleep_forever()


async def _stop_in_time(drain_s: float, shutdown: Shutdown, members: Sequence[_Member]) -> None:
    """End the members that do not end by themselves in time: by a second order, then by a kill."""
    with trio.move_on_after(drain_s + GRACE_S):
        await shutdown.forced.wait()
    for member in members:
        member.stop()
    await trio.sleep(FORCED_GRACE_S)
    for member in members:
        member.kill()


async def _cancel_on(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _open_sockets(settings: Settings, machine: Machine, stack: AsyncExitStack) -> dict[str, list[int]]:
    """Open the listening sockets and return their file descriptors, by name; `stack` closes them."""
    sockets: dict[str, list[int]] = {}
    for name, address in (("http", settings.serve.http), ("websocket", settings.serve.listen)):
        listeners = await machine.listen(address.host, address.port)
        for listener in listeners:
            stack.push_async_callback(listener.aclose)
        sockets[name] = [listener.socket.fileno() for listener in listeners]
    return sockets


def _members(
    settings: Settings, sockets: Mapping[str, Sequence[int]], lock: Sequence[int], observe: Observer, machine: Machine
) -> list[_Member]:
    own = evolve(settings, serve=evolve(settings.serve, ready_file=None))  # that is the supervisor's
    of = settings.serve.processes
    front = _Member(Start(own, Role(FRONT, of, sockets)), lock, observe, machine.random)
    others = (Start(own, Role(number, of)) for number in range(FRONT + 1, of + 1))
    return [front, *(_Member(start, lock, observe, machine.random, front) for start in others)]


@define(eq=False)
class _Member:
    """One process, and its successors when it dies. `front` receives its reports; None if it is the front itself.

    It inherits the descriptors of `lock`, so that the store stays locked while it lives."""

    start: Start
    lock: Sequence[int]
    observe: Observer
    random: Callable[[], float]
    front: _Member | None = None
    started: trio.Event = field(factory=trio.Event)
    addresses: Started = field(factory=lambda: Started("", ""))
    _stop: trio.Event = field(factory=trio.Event)
    _process: trio.Process | None = None
    _orders: trio.MemorySendChannel[bytes] | None = None

    async def keep_running(self) -> None:
        """Start it, and restart it when it dies, until `stop`. Raises `SettingsError` or `StoreUnavailable` if it never
        started."""
        deaths = 0
        while not self._stop.is_set():
            began_at = trio.current_time()
            process = await self._run_once()
            if self._stop.is_set():
                return
            if not self.started.is_set():
                raise _cannot_start(process.returncode)
            deaths = 1 if trio.current_time() - began_at > STEADY_S else deaths + 1
            await self._report_lost(process, backoff_s(min(deaths, _BACKOFF_STEPS), self.random()))

    def stop(self) -> None:
        self._stop.set()
        self.send(encode(Stop()))

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def send(self, line: bytes) -> None:
        """Queue a message for the process; it is dropped if the process is gone or does not read."""
        if self._orders is not None:
            with suppress(trio.WouldBlock, trio.BrokenResourceError):
                self._orders.send_nowait(line)

    async def _report_lost(self, process: trio.Process, pause_s: float) -> None:
        """Observe that the process died, inform the front, and wait `pause_s` or until `stop`."""
        number, status = self.start.role.number, process.returncode or 0
        self.observe(ProcessLost(number, process.pid, status if status >= 0 else 128 - status, pause_s))
        if self.front is not None:
            self.front.send(encode(LostMember(number)))
        with trio.move_on_after(pause_s):
            await self._stop.wait()

    async def _run_once(self) -> trio.Process:
        """Run one process to its end and return it. If cancelled, kill it."""
        self._orders, orders = trio.open_memory_channel[bytes](ORDERS_WAITING)
        self._process = process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "streamwarm.processes.member"],
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=[*self.lock, *(fd for descriptors in self.start.role.sockets.values() for fd in descriptors)],
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, process, orders)
                nursery.start_soon(self._read, process)
                self.send(encode(self.start))
                await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._orders = None
            self.kill()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + FORCED_GRACE_S):
                await process.wait()
        return process

    async def _write(self, process: trio.Process, orders: trio.MemoryReceiveChannel[bytes]) -> None:
        if process.stdin is None:
            return
        async with process.stdin, orders:
            with suppress(trio.BrokenResourceError):  # it died; `_run_once` notices
                async for line in orders:
                    await process.stdin.send_all(line)

    async def _read(self, process: trio.Process) -> None:
        if process.stdout is None:
            return
        async with process.stdout:
            async for line in lines_of(process.stdout):
                message = decode(line)
                if isinstance(message, Started):
                    self.addresses = message
                    self.started.set()
                elif self.front is not None:
                    self.front.send(line + b"\n")


def _cannot_start(status: int | None) -> Exception:
    if status == UNREACHABLE:
        return StoreUnavailable("a process of the service could not start; its message is above")
    if status == USAGE:
        return SettingsError("a process of the service could not start; its message is above")
    return SettingsError(f"a process of the service ended while it started (status {status}); its message is above")
