"""The whole service in one process without a machine: a virtual clock, seeded randomness, a network in memory.

What is real: everything of `streamwarm` from the websocket to the stores, and the Bot API emulator. What is not: time,
randomness, threads, sockets, the bucket. So a run depends on its seed alone, and takes no real time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import h11
import trio
import trio.testing
from attrs import define, field, frozen
from trio_websocket import WebSocketConnection, wrap_client_stream

from streamwarm.cli.follow import ENDED
from streamwarm.net.pool import open_client
from streamwarm.sandbox.bot_api import BotApiEmulator, Chat
from streamwarm.sandbox.bot_api_messages import Bot
from streamwarm.sandbox.bot_api_methods import Telegram
from streamwarm.service.machine import Machine
from streamwarm.service.nursery import run_service
from streamwarm.service.open import OpenStore, open_store
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.destinations import parse_destinations
from streamwarm.settings.schema import Address, CacheSettings, R2Settings, ServeSettings, Settings, StoreSettings
from streamwarm.settings.secret import SecretStr
from streamwarm.watch.observations import Observation
from tests.simulation.memory_bucket import MemoryBucket
from tests.simulation.network import MemoryStream, Network
from tests.worlds.http_sink import Connection, HttpSink
from tests.worlds.scripted_bucket import NO_TLS

EPOCH = 1_772_366_405.0
"""The wall clock at the start, in Unix seconds."""

TOKEN, CHAT = "4242:AA-simulated", -1001
KEYS = {"access_key_id": "simulated-id", "secret_access_key": SecretStr("simulated-key")}
NAMES = {
    "r2.example": "93.184.216.1",
    "telegram.example": "93.184.216.2",
    "cdn.example": "93.184.216.3",
    "copies.example": "93.184.216.4",
}
PEER_PORT = 80
DEADLINE_S = 3_600.0
"""Virtual seconds after which a run that does not end fails."""


@frozen
class Traced:
    """One thing that happened: when (virtual seconds), where, and what."""

    at: float
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:12.6f}  {self.where:22} {self.what}"


@define(eq=False)
class World:
    """A running service, its peers and one client of its websocket."""

    seed: str
    network: Network = field(init=False)
    machine: Machine = field(init=False)
    trace: list[Traced] = field(factory=list)
    source: MemoryBucket = field(factory=lambda: MemoryBucket("media"))
    copies: MemoryBucket = field(factory=lambda: MemoryBucket("copies"))
    cdn: HttpSink = field(factory=HttpSink)
    telegram: BotApiEmulator = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.network = Network(Random(f"{self.seed} network"), NAMES, self._note_arrival)
        chance = Random(f"{self.seed} machine")
        self.machine = Machine(
            now=lambda: EPOCH + trio.current_time(),
            monotonic=trio.current_time,
            random=chance.random,
            token_hex=lambda count: chance.randbytes(count).hex(),
            run_sync=at_once,
            network=self.network,
            resolve=self.network.resolve,
            listen=self.network.listen,
        )

    def note(self, where: str, what: str) -> None:
        self.trace.append(Traced(trio.current_time(), where, what))

    def observe(self, observation: Observation) -> None:
        self.note("service", repr(observation))

    def _note_arrival(self, server: str, data: bytes) -> None:
        """Clients of the service are noted by length: a websocket client's mask is not ours to draw."""
        is_peer = server.partition(":")[0] in NAMES or server.partition(":")[0] in NAMES.values()
        digest = hashlib.sha256(data).hexdigest()[:12] if is_peer else ""
        head = data.partition(b"\r\n")[0].decode() if data[:4] in {b"GET ", b"PUT ", b"POST", b"HEAD"} else ""
        self.note(server, f"{len(data)} bytes {digest} {head}".rstrip())

    def settings(self, store_url: str, cache_dir: Path) -> Settings:
        free = Address("127.0.0.1", 0)
        telegram = {"token": TOKEN, "chats": [CHAT], "base_url": "http://telegram.example"}
        copies = {"endpoint_url": "http://copies.example", "bucket": "copies", **KEYS}
        return Settings(
            serve=ServeSettings(listen=free, http=free),
            store=StoreSettings(url=store_url),
            r2=R2Settings(endpoint_url="http://r2.example", bucket="media", **KEYS),
            cache=CacheSettings(dir=cache_dir),
            destinations=parse_destinations(
                {
                    "mybot": {"type": "telegram", **telegram},
                    "cdn": {"type": "http", "url": "http://cdn.example/up/{r2_key}"},
                    "copies": {"type": "s3", **copies},
                }
            ),
        )

    def open_client(self) -> Any:
        """An HTTP client on this network."""
        return open_client(ssl_context=NO_TLS, network_backend=self.machine.network)

    async def serve_peers(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run what the service talks to, until cancelled."""
        rules = Telegram({TOKEN: Bot(TOKEN)}, {CHAT: Chat("supergroup", "Warm-up")}, self.machine.now)
        async with self.open_client() as client, trio.open_nursery() as nursery:
            self.telegram = BotApiEmulator(rules, client, latency_s=0.05)
            handlers: Mapping[str, Callable[[MemoryStream], Awaitable[None]]] = {
                "r2.example": partial(_serve, lambda stream: self.source.serve(Connection(stream))),
                "copies.example": partial(_serve, lambda stream: self.copies.serve(Connection(stream))),
                "cdn.example": partial(_serve, self.cdn.serve),
                "telegram.example": self.telegram.serve_connection,
            }
            for host, handle in handlers.items():
                listeners = await self.network.listen(host, PEER_PORT)
                await nursery.start(partial(trio.serve_listeners, handle, listeners, handler_nursery=nursery))
            task_status.started()

    @asynccontextmanager
    async def running(self, settings: Settings, open_store: OpenStore = open_store) -> AsyncIterator[Client]:
        """The service and its peers; the service is drained at the end of the block."""
        shutdown = Shutdown()
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as peers:
                await peers.start(self.serve_peers)
                async with trio.open_nursery() as nursery:
                    serve = partial(run_service, settings, shutdown, self.observe, self.machine, open_store=open_store)
                    endpoints = await nursery.start(serve)
                    port = int(endpoints.websocket.rstrip("/").rpartition(":")[2])
                    stream = await self.network.open_stream("127.0.0.1", port)
                    async with stream, self.open_client() as http, trio.open_nursery() as reading:
                        connection = await wrap_client_stream(reading, stream, f"127.0.0.1:{port}", "/")
                        yield Client(connection, http, endpoints.http.rstrip("/"), self.note)
                        await connection.aclose()
                    shutdown.signal()
                peers.cancel_scope.cancel()


@define(eq=False)
class Client:
    """Speaks JSON-RPC over the service's websocket, looks up over its HTTP API, and notes what it hears."""

    _connection: WebSocketConnection
    _http: Any
    _url: str
    _note: Callable[[str, str], None]
    ended: dict[str, str] = field(factory=dict)

    async def push(self, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
        """Push and follow `jobs`; their ids."""
        request = {"jsonrpc": "2.0", "id": 1, "method": "push", "params": {"jobs": jobs, "watch": True}}
        await self._connection.send_message(json.dumps(request))
        while "result" not in (reply := await self._receive()):
            assert "error" not in reply, reply
        assert reply["result"]["rejected"] == []
        return [accepted["id"] for accepted in reply["result"]["accepted"]]

    async def until_ended(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The state in which each of `job_ids` ended."""
        while not set(job_ids) <= set(self.ended):
            await self._receive()
        return {job_id: self.ended[job_id] for job_id in job_ids}

    async def look_up(self, path: str) -> Any:
        answer = await self._http.get(self._url + path)
        self._note("client", f"{path} {answer.status_code} {answer.text}")
        return answer.json()

    async def _receive(self) -> Any:
        text = await self._connection.get_message()
        self._note("client", str(text))
        message = json.loads(text)
        if message.get("method") == "event" and message["params"]["state"] in ENDED:
            self.ended[message["params"]["id"]] = message["params"]["state"]
        return message


async def at_once(function: Callable[..., Any], *args: Any, abandon_on_cancel: bool = False) -> Any:
    """Run what blocks in line with the event loop: no thread, so no race with one."""
    await trio.lowlevel.checkpoint()
    return function(*args)


async def _serve(handle: Callable[[Any], Awaitable[None]], stream: MemoryStream) -> None:
    async with stream:
        try:
            await handle(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            return


@contextmanager
def deterministic_scheduling(seed: str) -> Iterator[None]:
    """trio shuffles the tasks that can run, so that nobody relies on their order. Here the seed decides.

    These are the two names that trio's own test of it and pytest-trio set; there is no public way.
    """
    scheduler: Any = trio._core._run
    state, before = scheduler._r.getstate(), scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(f"{seed} scheduler")
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before
        scheduler._r.setstate(state)


def simulate(seed: str, life: Callable[[World], Awaitable[None]]) -> World:
    """Run `life` in a world of its own, under a virtual clock; the world as it was at the end."""
    world = World(seed)
    with deterministic_scheduling(seed):
        trio.run(life, world, clock=trio.testing.MockClock(autojump_threshold=0))
    return world
