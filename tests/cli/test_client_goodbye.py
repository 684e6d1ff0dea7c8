"""What a user at a terminal loses without these: a command that did its work ends well, whatever arrives last."""

from __future__ import annotations

from functools import partial

import trio
import wsproto
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, CloseConnection, Request

from streamwarm.cli.client import connect

PING = b"\x89\x011"
"""A frame with one byte of payload (RFC 6455, 5.5.2)."""


async def serve_a_ping_behind_the_goodbye(stream: trio.SocketStream) -> None:
    """A service whose ping arrives after the client's close frame was sent."""
    server = wsproto.WSConnection(ConnectionType.SERVER)
    async for piece in stream:
        server.receive_data(piece)
        for event in server.events():
            if isinstance(event, Request):
                await stream.send_all(server.send(AcceptConnection(subprotocol="streamwarm.v1")))
            elif isinstance(event, CloseConnection):
                await stream.send_all(PING + server.send(event.response()))


async def test_a_ping_that_crosses_the_goodbye_costs_the_command_nothing() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve_a_ping_behind_the_goodbye, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(30):
            async with connect(f"ws://127.0.0.1:{port}/", None):
                pass
        nursery.cancel_scope.cancel()
