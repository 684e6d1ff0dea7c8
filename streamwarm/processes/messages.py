"""Several processes as one service: their roles, and the messages between them.

Roles. One process, the supervisor, holds the listening sockets and the lock of a SQLite file, and starts the members.
All members work; member 1 also serves clients. If all of them shared the sockets, `/metrics` and `stats` would describe
whichever process happened to answer, and progress would reach only the clients that are connected to the right one.
Serving clients costs little beside moving bytes. If member 1 dies, clients wait in the queues of the sockets, which the
supervisor keeps open, until its successor has started.

Messages. Changes to jobs travel through the store, as between hosts. What is not stored (observations for the metrics,
streams, progress) every member reports twice a second, over pipes that lead through the supervisor.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import AsyncGenerator
from typing import Any

import trio
from attrs import frozen

from streamwarm.service.members import Role
from streamwarm.settings.schema import Settings

USAGE, UNREACHABLE = 2, 3
"""A member's exit codes, the same as the command line's: wrong settings, and a store that cannot be reached."""

_READ_BYTES = 65_536


@frozen
class Start:
    """The first message to a member."""

    settings: Settings
    role: Role


@frozen
class Stop:
    """The first one means drain, the second one stop at once.

    End-of-file on the pipe means that the supervisor has died. The member then drains, unless it drains already."""


@frozen
class Started:
    """A member has started. The addresses are empty unless it serves clients."""

    websocket: str
    http: str


def encode(message: object) -> bytes:
    """The message as one line."""
    return base64.b64encode(pickle.dumps(message)) + b"\n"


def decode(line: bytes) -> Any:
    """The message in `line`. Only processes of this service write to these pipes, so unpickling is safe."""
    return pickle.loads(base64.b64decode(line))  # noqa: S301


async def lines_of(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes, None]:
    """Whole lines, without their ends, until the other process is gone."""
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
