"""The Bot API emulator as a process of its own, with latency, and with eyes for when each upload begins.

    python tools/load/emulator.py '{"tokens": […], "chats": […], "latency_s": 0.0, "rates": false}'

Prints `{"base_url": URL}`, then a line `{"file": NAME, "bot": ID, "at": UNIX}` for each upload's first byte. Ends when
its standard input does.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from functools import partial
from typing import Any

import trio

from streamwarm.sandbox.bot_api import BotApiEmulator, Chat, EmulatorSettings, serve_bot_api

_REQUEST = re.compile(rb"POST /bot(\d+):")
_FILE_NAME = re.compile(rb'filename="([^"]+)"')


class WatchedStream(trio.abc.HalfCloseableStream):
    """A connection that notes when an upload with a named file begins to come in.

    A request's head begins a piece: a client sends the next request only after the answer to the last.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._bot = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        piece = await self._stream.receive_some(max_bytes)
        if begun := _REQUEST.match(piece):
            self._bot = begun[1]
        if self._bot and (named := _FILE_NAME.search(piece)):
            _say({"file": named[1].decode("utf-8", "replace"), "bot": int(self._bot), "at": time.time()})
            self._bot = b""
        return piece

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class WatchedEmulator:
    """Stands before an emulator's connections."""

    def __init__(self, emulator: BotApiEmulator) -> None:
        self._serve = emulator.serve_connection

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        await self._serve(WatchedStream(stream))  # type: ignore[arg-type]


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(given: dict[str, Any]) -> None:
    settings = EmulatorSettings(
        bots=given["tokens"],
        chats={chat: Chat("supergroup", f"Warm-up {chat}") for chat in given["chats"]},
        local_server=True,
        enforce_rates=given["rates"],
        latency_s=given["latency_s"],
    )
    async with trio.open_nursery() as nursery:
        emulator: BotApiEmulator = await nursery.start(partial(serve_bot_api, settings))
        # `serve_bot_api` looks this up for every connection.
        emulator.serve_connection = WatchedEmulator(emulator).serve_connection  # type: ignore[method-assign]
        _say({"base_url": emulator.base_url})
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as parent:
            await parent.receive_some()  # nothing ever comes: it ends with whoever started us
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
