"""People: each follows all events over a websocket, does what the plan says, and repeats what got no answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio
from attrs import define, evolve, field, frozen
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from tests.simulation.host import Host
from tests.simulation.network import MemoryStream, Network
from tests.simulation.plan import Action, PlannedJob, Reference, Verb

AGAIN_S = 1.0
"""How long somebody waits before they connect, or ask, once more, in seconds."""

PATIENCE_S = 20.0
"""How long somebody waits for an answer before they connect anew, in seconds."""

_PASSING = {-32001, -32004, -32005, -32006}
"""`queue_full`, `draining`, `rate_limited`, `store_unavailable`: ask again."""


@frozen
class Asked:
    """A request that takes a reference away, `forget` or `invalid`: when it was sent (virtual seconds) and with which
    parameters. `answer` is None until it is answered, and stays so if the answer is lost."""

    at_s: float
    method: str
    params: Mapping[str, Any]
    answered_at_s: float | None = None
    answer: Mapping[str, Any] | None = None


class _Gone(Exception):
    """The connection has ended, or no answer came."""


@define(eq=False)
class Person:
    """`acknowledged` has the id that each accepted push was answered with, `events` what came, in order. `taken` are
    the requests that take a reference away."""

    number: int
    network: Network
    hosts: Sequence[Host]
    token: str
    actions: Sequence[Action]
    jobs: Mapping[int, PlannedJob]
    params_of: Callable[[PlannedJob], Mapping[str, Any]]
    params_again: Callable[[PlannedJob, Action], Mapping[str, Any]]
    note: Callable[[str, str], None]
    acknowledged: set[str] = field(factory=set)
    events: list[Mapping[str, Any]] = field(factory=list)
    frames: list[str] = field(factory=list)
    rejected: list[str] = field(factory=list)
    taken: list[Asked] = field(factory=list)
    has_acted: trio.Event = field(factory=trio.Event)
    stream: MemoryStream | None = None
    """The connection that is open, for a fault to cut."""

    _host: int = 0
    _replies: dict[int, Any] = field(factory=dict)
    _came: trio.Event = field(factory=trio.Event)
    _last_request: int = 0
    _to_do: list[Action] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._to_do = list(self.actions)
        self._host = self.number

    @property
    def last_seq(self) -> int:
        return int(self.events[-1]["seq"]) if self.events else 0

    async def live(self) -> None:
        """Follow and act until cancelled."""
        while True:
            try:
                await self._connect(self._act)
            except (ConnectionClosed, HandshakeError, OSError, _Gone, trio.TooSlowError, trio.BrokenResourceError):
                self._host += 1  # perhaps another host answers
            except trio.ClosedResourceError:
                self._host += 1
            await trio.sleep(AGAIN_S)

    async def ask_once(self, method: str, params: Mapping[str, Any]) -> Any:
        """One request over a connection of its own, repeated until it is answered."""
        answers: list[Any] = []

        async def ask(connection: WebSocketConnection) -> None:
            answers.append(await self._ask(connection, method, params))

        while not answers:
            try:
                await self._connect(ask, follows=False)
            except (ConnectionClosed, HandshakeError, OSError, _Gone, trio.TooSlowError):
                self._host += 1
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._host += 1
            await trio.sleep(AGAIN_S)
        return answers[0]

    async def _connect(self, act: Callable[[WebSocketConnection], Awaitable[None]], *, follows: bool = True) -> None:
        endpoints = self.hosts[self._host % len(self.hosts)].endpoints
        if endpoints is None:
            raise OSError("it is down")
        address, _, port = endpoints.websocket.rstrip("/").removeprefix("ws://").rpartition(":")
        stream = await self.network.open_stream(address, int(port))
        if follows:
            self.stream = stream
        headers = [("Authorization", f"Bearer {self.token}")]
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(PATIENCE_S):
                    connection = await wrap_client_stream(
                        nursery, stream, f"{address}:{port}", "/", extra_headers=headers
                    )
                nursery.start_soon(self._listen, connection)
                if follows:
                    await self._ask(connection, "watch", {"since": self.last_seq})
                await act(connection)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        finally:
            stream.close()

    async def _listen(self, connection: WebSocketConnection) -> None:
        while True:
            text = str(await connection.get_message())
            self.frames.append(text)
            message = json.loads(text)
            if message.get("method") == "event":
                self.events.append(message["params"])
                self.note(f"client {self.number}", text)
            elif "id" in message:
                self.note(f"client {self.number}", text)
                self._replies[message["id"]] = message
            self._came.set()
            self._came = trio.Event()

    async def _act(self, connection: WebSocketConnection) -> None:
        while self._to_do:
            await trio.sleep(max(0.0, self._to_do[0].at_s - trio.current_time()))
            await self._do(connection, self._to_do[0])
            del self._to_do[0]
        self.has_acted.set()
        await trio.sleep_forever()

    async def _do(self, connection: WebSocketConnection, action: Action) -> None:
        job = None if action.job is None else self.jobs[action.job]
        match action.verb:
            case Verb.PUSH if job is not None:
                await self._push(connection, self.params_of(job))
            case Verb.AGAIN if job is not None:
                await self._push(connection, self.params_again(job, action))
            case Verb.CANCEL | Verb.RETRY if job is not None:
                await self._ask(connection, action.verb, {"id": job.id})
            case Verb.FIND | Verb.FORGET | Verb.INVALID if job is not None:
                await self._ask_about(connection, action, self.params_of(job))
            case Verb.REFRESH if job is not None:
                # A service that has no such method yet refuses it, and nothing comes of that.
                asked = {"destination": job.destination, "prefix": "media/", "always": action.refresh == "always"}
                await self._ask(connection, "refresh", asked)
            case _:
                await self._ask(connection, action.verb, {} if job is None else {"destination": job.destination})

    async def _push(self, connection: WebSocketConnection, job: Mapping[str, Any]) -> None:
        self.take_answer(await self._ask(connection, "push", {"jobs": [job], "watch": False}))

    def take_answer(self, pushed: Mapping[str, Any]) -> None:
        """Note what a push was answered with."""
        self.acknowledged.update(accepted["id"] for accepted in pushed.get("accepted", ()))
        self.rejected += [str(refused) for refused in pushed.get("rejected", ())]

    async def _ask_about(self, connection: WebSocketConnection, action: Action, job: Mapping[str, Any]) -> None:
        """Look a record up by its key; then forget it, or report it, if that is the action."""
        name = {member: job[member] for member in ("destination", "kind", "r2_key")}
        record = {} if action.file_id is Reference.FIRST else await self._ask(connection, "find", name)
        file_id = record.get("file_id") or self._first_heard(name)
        if action.verb is Verb.FIND:
            return
        if action.file_id is not Reference.NONE:
            if file_id is None:
                return
            name["file_id"] = file_id
        self.taken.append(Asked(trio.current_time(), str(action.verb), name))
        place = len(self.taken) - 1
        answer = await self._ask(connection, str(action.verb), name)
        self.taken[place] = evolve(self.taken[place], answered_at_s=trio.current_time(), answer=answer)

    def _first_heard(self, name: Mapping[str, Any]) -> str | None:
        """The first reference that an event of this object has told."""
        heard = (
            str(event["result"]["file_id"])
            for event in self.events
            if "result" in event and all(event[member] == name[member] for member in name)
        )
        return next(heard, None)

    async def _ask(self, connection: WebSocketConnection, method: str, params: Mapping[str, Any]) -> Any:
        """The result, or the error if it is final. Raises `_Gone` if no answer comes."""
        while True:
            self._last_request += 1
            request_id = self._last_request
            request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
            self.note(f"client {self.number}", json.dumps(request))
            with trio.move_on_after(PATIENCE_S):
                await connection.send_message(json.dumps(request))
                while request_id not in self._replies:
                    await self._came.wait()
            if request_id not in self._replies:
                raise _Gone
            reply = self._replies.pop(request_id)
            if reply.get("error", {}).get("code") not in _PASSING:
                return reply.get("result") or reply.get("error") or {}
            await trio.sleep(AGAIN_S)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What ended the connection, of all that its end raised."""
    for error in group.exceptions:
        found = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(found, trio.Cancelled):
            return found
    return group.exceptions[0]
