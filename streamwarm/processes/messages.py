"""Several processes that are one service: who is who, and what they tell each other.

One process, the supervisor, holds the listening sockets and the lock of a SQLite file, and starts the members. Member 1
serves clients, and works like the others; they only work. That is simple, and robust where sharing the sockets among
all members is not: `/metrics` and `stats` would tell of whichever process happened to answer, and progress would reach
only those clients that happened to sit at the right one. Serving clients costs little beside moving bytes; when member
1 dies, clients wait in the sockets' queues, which the supervisor keeps open, until it is there again.

What changes with jobs travels through the store, as between hosts. What is not stored (observations for the metrics,
who streams what, how far it is) every member reports twice a second, over pipes that lead through the supervisor.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import AsyncGenerator
from typing import Any

import trio
from attrs import frozen

from streamwarm.service.crew import Role
from streamwarm.settings.schema import Settings

USAGE, UNREACHABLE = 2, 3
"""A member's exit codes, the same as the command line's: bad settings, and a store that cannot be reached."""

_READ_BYTES = 65_536


@frozen
class Start:
    """The first thing a member is told."""

    settings: Settings
    role: Role


@frozen
class Stop:
    """Drain; told a second time: end at once. The end of the pipe says the same, for then the supervisor is gone."""


@frozen
class Started:
    """A member works, and serves at these addresses, if it serves."""

    websocket: str
    http: str


def encode(message: object) -> bytes:
    """One line."""
    return base64.b64encode(pickle.dumps(message)) + b"\n"


def decode(line: bytes) -> Any:
    """What `encode` was given. Only processes of this service write to these pipes."""
    return pickle.loads(base64.b64decode(line))  # noqa: S301


async def lines_of(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes, None]:
    """Whole lines, without their ends, until the other side is gone."""
    rest = b""
    while True:
        try:
            data = await stream.receive_some(_READ_BYTES)
        except trio.BrokenResourceError:
            return
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line
