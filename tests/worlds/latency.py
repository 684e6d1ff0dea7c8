"""A network on which the server's goodbye arrives too late to be noticed before a request is sent."""

from __future__ import annotations

import httpx
from attrs import define, field

from streamwarm.net.backend import Stream
from streamwarm.net.stream import TCPBackend


@define(eq=False)
class Network:
    """Real TCP on which a small request is sent in full before anything comes back, as over a long distance.

    The server's goodbye to an idle connection is seen only by a read. The connection breaks before a write that begins
    with `cut_before`.
    """

    _cut_before: bytes | None = None
    _tcp: TCPBackend = field(factory=TCPBackend)

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> Stream:  # noqa: ASYNC109
        connected = await self._tcp.connect_tcp(host, port, timeout)
        return LongDistance(connected, self._cut_before)


IN_FLIGHT_BYTES = 256 * 1024


@define(eq=False)
class LongDistance:
    _stream: Stream
    _cut_before: bytes | None
    _in_flight: bytearray = field(factory=bytearray)
    _arrived: bool = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await self._arrive(timeout)
        self._arrived = False
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if self._cut_before is not None and bytes(buffer).startswith(self._cut_before):
            raise httpx.WriteError("the network broke")
        self._in_flight += buffer
        if len(self._in_flight) > IN_FLIGHT_BYTES:
            await self._arrive(timeout)

    async def _arrive(self, timeout: float | None) -> None:  # noqa: ASYNC109
        if self._in_flight:
            arriving, self._in_flight = bytes(self._in_flight), bytearray()
            self._arrived = True
            await self._stream.write(arriving, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        if info == "is_readable" and not self._arrived:
            return False
        return self._stream.get_extra_info(info)
