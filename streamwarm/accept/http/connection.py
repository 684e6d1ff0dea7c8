"""One HTTP/1.1 connection: requests in, responses out, one after the other. `framing.py` reads and writes HTTP.

Every wait for the client has a limit: `idle_s` for a request's head, `send_within_s` for a piece of a response, and for
a body the time-out of the handler that reads it. A wish to switch protocols (h2c, a websocket) is ignored.

A response may come before the request's body has been read, for instance a refusal. What has arrived of the body is
dropped then. If much more is to come, the connection ends with the response.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

import h11
import trio
from attrs import define, field

from streamwarm.accept.answer_budget import AnswerUnreadError
from streamwarm.accept.clients import ClientStream
from streamwarm.accept.http.framing import Framing
from streamwarm.accept.http.message import (
    BadBodyError,
    ClientGoneError,
    Headers,
    Request,
    Response,
    StreamedResponse,
)
from streamwarm.accept.http.places import Place, Places
from streamwarm.accept.http.problems import HttpError, problem_of, too_many_requests

_READ_BYTES = 16 * 1024
"""How much is read at once. It bounds what a client may send ahead of its turn, together with h11's own bound."""

_PIECES_AT_ONCE = 64
"""Pieces of a body taken without a checkpoint. h11 takes 13 µs for a chunk, and a chunk may be one byte."""

_LINGER_S = 10.0
_LINGER_GAP_S = 1.0
"""How long bytes are still dropped after the last response: in all, and without any. Closing a socket with unread bytes
sends a reset, and a reset discards what the client has not read yet (RFC 9112, section 9.6)."""

_FREE_REFUSALS = 4
_REFUSAL_PAUSE_S = 1.0
"""A client without a valid token waits this long for each refusal after the first few. A crowd that never stops asking
would otherwise keep the service busy with refusals."""

_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)


class App(Protocol):
    async def answer(self, request: Request) -> Response:
        """The response. Raises `ClientGoneError` and nothing else."""
        ...


@define(eq=False)
class HttpConnection:
    """`run` serves one connection until it ends. `date` gives the `Date` header."""

    _stream: ClientStream
    _app: App
    _places: Places
    _place: Place
    _idle_s: float
    _date: Callable[[], bytes]
    _client: str
    _server: tuple[str, int]
    _framing: Framing = field(factory=Framing, init=False)
    _is_closing: bool = field(default=False, init=False)
    _pieces: int = field(default=0, init=False)
    _refusals: int = field(default=0, init=False)
    _waiting: trio.CancelScope | None = field(default=None, init=False)

    async def run(self) -> None:
        """Answer requests until either side ends the connection, then wait a moment for the client to read the last."""
        try:
            while await self._exchange():
                pass
            await self._linger()
        except ClientGoneError:
            pass  # there is nobody to answer any more, and nothing to report: clients leave as they like
        self._stream.abort()

    def close_when_idle(self) -> None:
        """Close the connection now if no request is under way, else after its response."""
        self._is_closing = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _exchange(self) -> bool:
        """Answer one request. Returns True if another one may follow."""
        try:
            head = await self._next_head()
        except HttpError as error:
            await self._respond(problem_of(error), is_last=True)
            return False
        if head is None:
            return False
        request = self._request(head)
        try:
            async with request.until_sent:
                response = await self._app.answer(request)
                await self._pause_before(response)
                try:
                    return await self._respond(response, is_head=request.method == "HEAD")
                finally:
                    response.close()
        except AnswerUnreadError as error:
            raise ClientGoneError from error
        return False  # never reached: by its type, an exit stack may swallow exceptions

    async def _pause_before(self, response: Response) -> None:
        if response.status in _REFUSED and not self._place.is_known:
            self._refusals += 1
            if self._refusals > _FREE_REFUSALS:
                await trio.sleep(_REFUSAL_PAUSE_S)

    async def _next_head(self) -> h11.Request | None:
        """The next request's head; None if none came. Raises `HttpError` if what came is not one."""
        event = self._framing.next_request()
        if event is not None:
            await trio.lowlevel.checkpoint()  # a client that sends many requests at once must not hold up the others
        elif not self._is_closing:
            with trio.move_on_after(self._idle_s) as self._waiting:
                while event is None:
                    await self._receive()
                    event = self._framing.next_request()
            self._waiting = None
        if event is None and self._framing.has_unread and not self._is_closing:
            raise HttpError(408, f"the request's head took longer than {self._idle_s:g} s to arrive")
        return event if isinstance(event, h11.Request) else None

    def _request(self, head: h11.Request) -> Request:
        self._pieces = 0
        return Request(
            head.method.decode("ascii"),
            head.target.decode("ascii"),
            Headers(cast("list[tuple[bytes, bytes]]", head.headers)),
            self._client,
            self._server,
            self._next_piece,
            lambda: self._places.admit(self._place),
        )

    async def _next_piece(self) -> bytes:
        """More of the request's body, and `b""` at its end."""
        if self._framing.wants_continue:
            await self._write(self._framing.continue_())
        if not self._pieces:
            self._places.wait(self._place)
        self._pieces += 1
        if self._pieces % _PIECES_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        while (piece := self._framing.next_piece()) is None:
            await self._receive()
        if not piece and not self._places.admit(self._place):
            raise too_many_requests()
        return piece

    async def _respond(self, response: Response, *, is_head: bool = False, is_last: bool = False) -> bool:
        """Write `response`. Returns True if the connection may be used again."""
        is_stream = isinstance(response, StreamedResponse)
        if not is_stream:
            self._places.wait(self._place)
        is_last = is_last or is_stream or self._is_closing or response.status == HTTPStatus.REQUEST_TIMEOUT
        is_whole = False
        try:
            is_whole = self._framing.drop_body()
            is_last = is_last or not (is_whole or self._framing.is_rest_small)
        except BadBodyError:
            is_last = True
        head = self._framing.head(response, date=self._date(), is_last=is_last)
        if is_head:
            await self._write(head + self._framing.end())
        elif isinstance(response, StreamedResponse):
            await self._write(head)
            await self._write_stream(response)
        else:
            await self._write_whole(head, response.body)
        return not is_last and (is_whole or await self._drop_rest()) and self._framing.may_go_on

    async def _write_whole(self, head: bytes, body: bytes) -> None:
        """Write a response whose body is in memory. `ClientStream` sends it in pieces, each with a deadline."""
        await self._write(head + self._framing.piece(body) + self._framing.end())

    async def _write_stream(self, response: StreamedResponse) -> None:
        """Write a body of unknown length. It ends when the client leaves; what the client sends is dropped."""
        is_whole = False

        async def send(piece: bytes) -> None:
            await self._write(self._framing.piece(piece))

        async def cancel_when_gone() -> None:
            while await self._stream.receive_some(_READ_BYTES):
                pass
            nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_when_gone)
                await response.write(send)
                is_whole = True
                nursery.cancel_scope.cancel()
        except* (ClientGoneError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client left; the next lines say so, unless the body had been written
        if not is_whole:
            raise ClientGoneError
        await self._write(self._framing.end())

    async def _drop_rest(self) -> bool:
        """Read and drop the rest of the body. Returns True if all of it came."""
        with trio.move_on_after(min(self._idle_s, _LINGER_S)):
            try:
                while not self._framing.drop_body():
                    await self._receive()
            except BadBodyError:
                return False
            return True
        return False

    async def _linger(self) -> None:
        """Send the end of the stream, and drop what the client still sends."""
        self._places.demote(self._place)
        try:
            with trio.move_on_after(_LINGER_S):
                await self._stream.send_eof()
                is_open = not self._framing.has_ended
                while is_open:
                    is_open = False
                    with trio.move_on_after(_LINGER_GAP_S):
                        is_open = bool(await self._stream.receive_some(_READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _receive(self) -> None:
        try:
            self._framing.receive(bytes(await self._stream.receive_some(_READ_BYTES)))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientGoneError from error

    async def _write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientGoneError from error
