"""TLS for the HTTP client: many records per call, fixed buffers.

Theory. OpenSSL works here on two memory BIOs. What the socket has goes into the incoming one in a single piece of up to
256 KiB, and is then decrypted record after record into one flat buffer. So a read of sixteen records costs one system
call, one copy out and one trip through trio. A write is encrypted whole and sent in one piece.

Memory. The two scratch buffers belong to the backend and are shared (`stream.py` says why that is safe). A connection
itself holds only what OpenSSL keeps: at most one incomplete record, and the incoming BIO's capacity, which grows to the
size of one read (256 KiB) and stays.

The end. A peer that closes without `close_notify` is an error, because an attacker can forge the end of a TCP
connection and so cut a body that has no length. We close without waiting for the peer's `close_notify`, as HTTPS
clients do (RFC 9112, section 9.8: a length makes the end of a message known).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import httpx
import trio
from attrs import define, frozen

from streamwarm.errors import SettingsError

RECORD_BYTES = 16 * 1024
"""The most plaintext a TLS record holds (RFC 8446, section 5.1)."""

WRITE_BYTES = 256 * 1024
"""The most plaintext that is encrypted at a time. It bounds the outgoing BIO if a piece is huge."""

MOST_RECORDS = 512
"""Records decrypted per read: some 2 ms of work. Only tiny ones are so many; full ones fill a read with sixteen."""


class RawStream(Protocol):
    """What TLS runs over. `TCPStream` implements and documents it."""

    async def receive_into(self, target: memoryview, within_s: float | None) -> int: ...

    def receive_now(self, target: memoryview) -> int | None: ...

    async def write_unless(
        self, answered: Callable[[], bool], buffer: bytes | memoryview, within_s: float | None
    ) -> None: ...

    async def aclose(self) -> None: ...

    def get_extra_info(self, info: str) -> Any: ...


@frozen
class Scratch:
    """Buffers that any connection may use between two checkpoints.

    `plain` has room for one record more than `wire`, because an earlier read may have left a record incomplete.
    """

    wire: memoryview
    plain: memoryview

    @classmethod
    def of(cls, read_bytes: int) -> Scratch:
        return cls(memoryview(bytearray(read_bytes)), memoryview(bytearray(read_bytes + RECORD_BYTES)))


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies certificate and host name, against `ca_file` if given, else
    the system's roots.

    Raises `SettingsError` if `ca_file` can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(
            f"pool.ca_file: {ca_file} can't be used ({error.strerror or error}); "
            "it must be a readable PEM file of certificates"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


@define(eq=False)
class TLSStream:
    """An encrypted connection over another, which it owns. One task reads or writes at a time."""

    _raw: RawStream
    _tls: ssl.SSLObject
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _scratch: Scratch
    _more: bool = False
    _ended: bool = False
    _unread: bytes = b""  # what came while a write was blocked

    @classmethod
    def over(cls, raw: RawStream, context: ssl.SSLContext, server_hostname: str | None, scratch: Scratch) -> TLSStream:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=False, server_hostname=server_hostname)
        return cls(raw, tls, incoming, outgoing, scratch)

    async def do_handshake(self) -> None:
        """Shake hands. Raises `httpx.ConnectError` with OpenSSL's reason, such as an expired certificate."""
        try:
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    await self._flush(None)
                    await self._feed(None)
                else:
                    await self._flush(None)
                    return
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise httpx.ConnectError(f"the TLS handshake failed: {error}") from error
        except (httpx.ReadError, httpx.WriteError) as error:
            raise httpx.ConnectError(f"the TLS handshake was cut: {error}") from error

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return up to `max_bytes` of plaintext, or `b""` after the peer's `close_notify`.

        Raises `httpx.ReadTimeout` after `timeout` seconds without a byte, `httpx.ReadError` if the connection is cut or
        broken.
        """
        if self._unread:
            await trio.lowlevel.checkpoint()
            plain, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
            return plain
        if self._more or self._ended:
            await trio.lowlevel.checkpoint()
            if plain := self._decrypt(max_bytes):
                return plain
        while not self._ended:
            await self._feed(timeout)
            plain = self._decrypt(max_bytes)
            if self._outgoing.pending:
                await self._flush(timeout)
            if plain:
                return plain
        return b""

    def _decrypt(self, max_bytes: int) -> bytes:
        """Return what can be decrypted now, at most `max_bytes` and possibly nothing. Records the end of the stream."""
        plain = self._scratch.plain[:max_bytes]
        filled = 0
        self._more = True
        try:
            for _ in range(MOST_RECORDS):
                if filled == len(plain):
                    break
                count = cast(int, self._tls.read(len(plain) - filled, plain[filled:]))
                if not count:
                    self._more, self._ended = False, True
                    break
                filled += count
        except ssl.SSLWantReadError:
            self._more = False
        except ssl.SSLZeroReturnError:
            self._more, self._ended = False, True
        except ssl.SSLError as error:
            raise httpx.ReadError(f"the TLS connection broke: {error.reason or error}") from error
        return bytes(plain[:filled])

    async def write(self, buffer: bytes | memoryview, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Encrypt and send all of `buffer`.

        Raises `httpx.WriteTimeout`, `httpx.WriteError`; the stream cannot be used any more then.
        """
        rest = memoryview(buffer)
        while rest:
            try:
                rest = rest[self._tls.write(rest[:WRITE_BYTES]) :]
            except ssl.SSLError as error:
                raise httpx.WriteError(f"the TLS connection broke: {error.reason or error}") from error
            await self._raw.write_unless(self._has_answer, self._outgoing.read(), timeout)

    async def _feed(self, within_s: float | None) -> None:
        count = await self._raw.receive_into(self._scratch.wire, within_s)
        if count:
            self._incoming.write(self._scratch.wire[:count])
        else:
            self._incoming.write_eof()

    async def _flush(self, within_s: float | None) -> None:
        """Send OpenSSL's own messages: handshakes, answers to key updates."""
        if self._outgoing.pending:
            await self._raw.write_unless(lambda: False, self._outgoing.read(), within_s)

    def _has_answer(self) -> bool:
        """Whether the peer has sent plaintext or closed."""
        # Bytes alone prove nothing: session tickets arrive unrequested.
        count = self._raw.receive_now(self._scratch.wire)
        if count is None:
            return False
        if not count:
            return True
        self._incoming.write(self._scratch.wire[:count])
        try:
            self._unread += self._decrypt(len(self._scratch.plain))
        except httpx.ReadError:
            return True
        return bool(self._unread) or self._ended

    async def aclose(self) -> None:
        await self._raw.aclose()

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls
        if info == "is_readable":
            unread = self._ended or self._unread or self._tls.pending() > 0 or self._incoming.pending > 0
            return bool(unread) or self._raw.get_extra_info(info)
        return self._raw.get_extra_info(info)
