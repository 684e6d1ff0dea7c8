"""A host that runs the service, and lives through crashes, freezes and clock steps.

A crash is what a real one is to everybody else: in one instant the host's connections are closed and its store holds
what was synced. The service's tasks are cancelled then. What they still do in their last moments reaches nobody.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import trio
from attrs import define, evolve, field

from streamwarm.backlog.store import Store
from streamwarm.errors import StoreUnavailable
from streamwarm.service.machine import Machine
from streamwarm.service.nursery import run_service
from streamwarm.service.ready_file import Endpoints
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.accounts import accounts_of
from streamwarm.settings.schema import CacheSettings, Settings
from streamwarm.watch.observations import AttemptStarted, Observation, Observer
from tests.simulation.client_connection import ClientConnection, connected
from tests.simulation.faults import Faults
from tests.simulation.ledger import TimedTransactions, WatchedStore
from tests.simulation.network import MemoryListener, MemoryStream, Network
from tests.simulation.plan import FaultKind, Sort
from tests.simulation.stores import Stores
from tests.simulation.world import EPOCH

DOWN_S = (0.2, 15.0)
"""How long a host that died stays down, in seconds."""

AFTER_FAILED_START_S = 1.0


@define(eq=False)
class Life:
    """A host from one start to the next. Its store asks it as a `StoreHost`, and its service as the network."""

    host: Host
    index: int
    settings: Settings
    is_dead: bool = False
    streams: list[MemoryStream] = field(factory=list)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    shutdown: Shutdown = field(factory=Shutdown)

    @property
    def store_is_down(self) -> bool:
        return self.host.store_is_down

    async def passed(self) -> None:
        await trio.lowlevel.checkpoint()
        while self.host.thaw is not None and not self.is_dead:
            await self.host.thaw.wait()

    def timed(self, transactions: Any) -> TimedTransactions:
        return TimedTransactions(transactions, self.host.event_times)

    def committed(self) -> FaultKind | None:
        if self.is_dead or self.host.endpoints is None:
            return None
        fault = self.host.faults.take(Sort.STORE, of=self.index)
        if fault is not None and fault.kind is FaultKind.CRASH_IN_COMMIT:
            self.host.die(in_commit=True)
        return None if fault is None else fault.kind

    async def open_stream(self, host: str, port: int) -> MemoryStream:
        await self.passed()
        if self.is_dead:
            raise OSError("this host is dead")
        stream = await self.host.network.open_stream(host, port)
        return self._own(stream)

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *_: object) -> ClientConnection:  # noqa: ASYNC109
        return await connected(self.open_stream, host, port, timeout)

    async def listen(self, host: str, port: int) -> list[MemoryListener]:
        listeners = await self.host.network.listen(host, port)
        for listener in listeners:
            listener.accepted = self._own
        return listeners

    def _own(self, stream: MemoryStream) -> MemoryStream:
        stream.gate = self.passed
        self.streams = [one for one in self.streams if not one.is_closed]
        self.streams.append(stream)
        return stream


@define(eq=False)
class Host:
    """`endpoints` is None while nobody can connect. `log` is everything that it has logged. `event_times` has when each
    event was committed."""

    index: int
    settings: Settings
    stores: Stores
    network: Network
    faults: Faults
    breaches: list[str]
    event_times: dict[int, float]
    folder: Path
    seed: str
    note: Callable[[str, str], None]
    make_logger: Callable[[Any], Observer]
    store: Any = None
    endpoints: Endpoints | None = None
    store_is_down: bool = False
    thaw: trio.Event | None = None
    clock_offset_s: float = 0.0
    log: io.StringIO = field(factory=io.StringIO)
    lives: int = 0
    _began: trio.Event = field(factory=trio.Event)
    nursery: trio.Nursery | None = None
    _life: Life | None = None
    _is_over: bool = False

    async def run(self) -> None:
        """Live, and start again after each death, until `stop`."""
        chance = Random(f"{self.seed} host {self.index}")
        while not self._is_over:
            try:
                await self._live()
            except* StoreUnavailable as failed:
                self.note(f"host {self.index}", f"did not start: {failed.exceptions[0]}")
                await trio.sleep(AFTER_FAILED_START_S)
            if self._life is not None and self._life.is_dead:
                await trio.sleep(chance.uniform(*DOWN_S))

    async def _live(self) -> None:
        self.lives += 1
        life = self._life = Life(self, self.index, self.settings)
        observe = partial(self._observe, life, self.make_logger(self.log))
        serve = partial(
            run_service,
            evolve(life.settings, cache=CacheSettings(dir=self._cache_dir())),
            life.shutdown,
            observe,
            self._machine(life),
            open_store=partial(self._open_store, life),
        )
        try:
            with life.scope:
                async with trio.open_nursery() as nursery:
                    self.nursery = nursery
                    endpoints = await nursery.start(serve)
                    if not life.is_dead:
                        self.endpoints = endpoints
        finally:
            if self._life is life:
                self.endpoints = None

    def die(self, *, in_commit: bool = False) -> None:
        """Crash now."""
        life = self._life
        if life is None or life.is_dead or self.endpoints is None:
            return
        self.note(f"host {self.index}", "dies")
        life.is_dead = True
        self.endpoints = None
        self.unfreeze()
        for stream in life.streams:
            stream.close()
        self.stores.died(life, in_commit=in_commit)
        life.scope.cancel()

    async def use(self, settings: Settings) -> None:
        """Go on with these settings: restart, if it runs with others. Returns once it has started with them."""
        self.settings = settings
        while not self._is_over and (self.endpoints is None or self._life is None or self._life.settings != settings):
            if self._life is not None and self._life.settings != settings:
                self.die()
            await trio.sleep(AFTER_FAILED_START_S)

    @property
    def accounts(self) -> Mapping[str, str]:
        """Whose references it answers at present, by destination."""
        return accounts_of((self.settings if self._life is None else self._life.settings).destinations)

    def freeze(self) -> None:
        if self.thaw is None:
            self.thaw = trio.Event()

    def unfreeze(self) -> None:
        if self.thaw is not None:
            self.thaw.set()
            self.thaw = None

    def stop(self) -> None:
        """Drain the service, and do not start it again."""
        self._is_over = True
        if self._life is not None:
            self._life.shutdown.signal()

    @property
    def open_streams(self) -> int:
        return 0 if self._life is None else sum(not stream.is_closed for stream in self._life.streams)

    @property
    def tasks(self) -> int:
        return 0 if self.nursery is None else len(self.nursery.child_tasks)

    @asynccontextmanager
    async def _open_store(
        self, life: Life, settings: Settings, machine: Machine, *, observe: Observer, **_: object
    ) -> AsyncIterator[Store]:
        accounts = accounts_of(life.settings.destinations)
        async with self.stores.opened(life, machine, accounts, observe) as store:
            self.store = watched = WatchedStore(store, accounts, self.breaches)
            yield watched  # type: ignore[misc]

    def _machine(self, life: Life) -> Machine:
        chance = Random(f"{self.seed} machine {self.index} {self.lives}")

        async def run_sync(function: Callable[..., Any], *args: Any, abandon_on_cancel: bool = False) -> Any:
            await life.passed()
            return function(*args)

        return Machine(
            now=lambda: EPOCH + trio.current_time() + self.clock_offset_s,
            monotonic=trio.current_time,
            random=chance.random,
            token_hex=lambda count: chance.randbytes(count).hex(),
            run_sync=run_sync,
            network=life,
            resolve=self.network.resolve,
            listen=life.listen,
            hostname=f"host-{self.index}",
        )

    def _observe(self, life: Life, log: Observer, observation: Observation) -> None:
        if life.is_dead:
            return
        self.note(f"host {self.index}", repr(observation))
        log(observation)
        if isinstance(observation, AttemptStarted):
            self._began.set()
            self._began = trio.Event()

    async def busy(self) -> None:
        """Return once an attempt begins."""
        await self._began.wait()

    def _cache_dir(self) -> Path:
        return self.folder / f"cache-{self.index}-{self.lives}"
