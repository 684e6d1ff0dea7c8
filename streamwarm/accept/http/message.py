"""A request and a response as the routes see them. `connection.py` reads the one and writes the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from urllib.parse import parse_qsl

from attrs import define, field, frozen

NO_HEADERS: Mapping[str, str] = {}

RawHeaders = Sequence[tuple[bytes, bytes]]

Send = Callable[[bytes], Awaitable[None]]
"""Writes a piece of a response's body. Returns when the connection has taken it."""


class ClientGoneError(Exception):
    """The connection broke or was closed, so no response can be sent any more."""


class BadBodyError(Exception):
    """The request's body is not valid HTTP, or ended early. The message says which."""


@frozen
class Headers:
    """A request's headers, with names in lower case as h11 gives them. Values are read as Latin-1."""

    raw: RawHeaders = ()

    def get(self, name: str, default: str = "") -> str:
        """The first value of `name`."""
        return next(self._values(name), default)

    def getlist(self, name: str) -> list[str]:
        return list(self._values(name))

    def __contains__(self, name: str) -> bool:
        return next(self._values(name), None) is not None

    def _values(self, name: str) -> Iterator[str]:
        wanted = name.encode("ascii")
        return (value.decode("latin-1") for found, value in self.raw if found == wanted)


async def _no_body() -> bytes:
    return b""


@define(eq=False)
class Request:
    """One request. `target` is as it was sent, still percent-encoded; `path` and `query` are its parts. What is entered
    on `until_sent` is left once the response was written or cannot be.

    `client` is the client's address, `server` the address and port that it connected to. `next_piece` returns more of
    the body, and `b""` at its end; it raises `BadBodyError` and `ClientGoneError`. `admit` marks the connection as one
    of a client that may use the API; it returns False if too many requests are under way.
    """

    method: str
    target: str
    headers: Headers = field(factory=Headers)
    client: str = ""
    server: tuple[str, int] = ("127.0.0.1", 0)
    next_piece: Callable[[], Awaitable[bytes]] = _no_body
    admit: Callable[[], bool] = lambda: True
    until_sent: AsyncExitStack = field(factory=AsyncExitStack)
    path: str = field(init=False)
    query: str = field(init=False)
    path_params: Mapping[str, str] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.path, _, self.query = self.target.partition("?")

    @property
    def query_params(self) -> list[tuple[str, str]]:
        """The query's names and values, decoded, in their order."""
        return parse_qsl(self.query, keep_blank_values=True)


class Response:
    """A status, headers, and a whole body. The connection adds what frames the body, and the date."""

    def __init__(self, body: bytes = b"", status: int = 200, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self.body = body
        self.status = status
        self.headers = headers

    def close(self) -> None:
        """Called once, when the response was written or cannot be."""
        return


class Text(Response):
    def __init__(self, content: str) -> None:
        super().__init__(content.encode(), headers={"content-type": "text/plain; charset=utf-8"})


class StreamedResponse(Response):
    """A response of unknown length, whose body is written piece by piece. The connection ends with it."""

    async def write(self, send: Send) -> None:
        """Write the body. It is cancelled when the client leaves."""
        raise NotImplementedError
