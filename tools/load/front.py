"""Stands before the sandbox's bucket and makes it slow, or lets it break off.

    python tools/load/front.py '{"host": …, "port": …, "latency_s": 0.15, "cut_share": 0.0, "seed": 1}'

Latency: what the client sends arrives that much later, so each request waits once. Cuts: that share of downloads
ends without a word after some of the answer's bytes. Prints `{"url": URL}`; ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import random
import sys
from functools import partial
from typing import Any

import trio
from attrs import define, frozen

PIECE_BYTES = 256 * 1024
DELAYED_PIECES = 64
CUT_AFTER_BYTES = (500, 2_000_000)
"""Where an answer breaks off, each order of magnitude as likely as another; a shorter answer comes through whole."""


@frozen
class Front:
    """One bucket's front. `chance` decides which answers break, and where."""

    host: str
    port: int
    latency_s: float
    cut_share: float
    chance: random.Random

    async def serve(self, client: trio.SocketStream) -> None:
        try:
            async with client, await trio.open_tcp_stream(self.host, self.port) as bucket, trio.open_nursery() as both:
                pair = _Pair(self, client, bucket)
                both.start_soon(pair.ask, both.cancel_scope)
                both.start_soon(pair.answer, both.cancel_scope)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # either side may go at any time; the other learns of it by its connection's end

    def cut_after(self) -> int | None:
        """After how many bytes the next answer is to break off, None for not at all."""
        if self.chance.random() >= self.cut_share:
            return None
        low, high = CUT_AFTER_BYTES
        return round(low * (high / low) ** self.chance.random())


@define(eq=False)
class _Pair:
    """A client's connection and its own to the bucket. `left` is what may still be answered before the cut."""

    front: Front
    client: trio.SocketStream
    bucket: trio.SocketStream
    left: int | None = None

    async def ask(self, both: trio.CancelScope) -> None:
        send, receive = trio.open_memory_channel[tuple[float, bytes | bytearray]](DELAYED_PIECES)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward_late, receive)
            async with send:
                async for piece in self.client:
                    if piece.startswith(b"GET "):
                        self.left = self.front.cut_after()
                    await send.send((trio.current_time() + self.front.latency_s, piece))
        both.cancel()

    async def answer(self, both: trio.CancelScope) -> None:
        while piece := await self.bucket.receive_some(PIECE_BYTES):
            if self.left is not None and len(piece) >= self.left:
                await self.client.send_all(piece[: self.left])
                break
            await self.client.send_all(piece)
            self.left = None if self.left is None else self.left - len(piece)
        both.cancel()

    async def _forward_late(self, pieces: trio.MemoryReceiveChannel[tuple[float, bytes | bytearray]]) -> None:
        async for due_at, piece in pieces:
            await trio.sleep_until(due_at)
            await self.bucket.send_all(piece)


async def main(given: dict[str, Any]) -> None:
    chance = random.Random(given.pop("seed"))
    front = Front(**given, chance=chance)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, front.serve, 0, host="127.0.0.1"))
        sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"}) + "\n")
        sys.stdout.flush()
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as parent:
            await parent.receive_some()  # nothing ever comes: it ends with whoever started us
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
