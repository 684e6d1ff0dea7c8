"""How many of the bytes we sent the peer's kernel has acknowledged.

Theory. A server may close an idle connection at the very moment when it is used again. Nobody reads what we then write,
yet a small upload fits into our own kernel's buffer: the writes succeed, and the connection simply ends. That looks
like an upload that was taken and whose answer was lost, but the two need opposite reactions. TCP can tell them apart.
The segment that closes the peer's half of the connection also acknowledges everything that had arrived by then. If it
acknowledges no byte of the request, nobody can have read any.

A reset proves nothing, because it does not acknowledge what arrived just before it.
"""

from __future__ import annotations

import socket
import struct
import sys

from streamwarm.net.backend import Stream

_INFO_BYTES = 128
_BYTES_ACKED_AT = 120
"""`tcpi_bytes_acked` in Linux's `struct tcp_info` (linux/tcp.h), since Linux 4.1."""


def acknowledged_bytes(stream: Stream) -> int | None:
    """Bytes acknowledged since the connection was opened, or None if the system does not report them."""
    connected = stream.get_extra_info("socket")
    if sys.platform != "linux" or not isinstance(connected, socket.socket):
        return None
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    return int(struct.unpack_from("=Q", info, _BYTES_ACKED_AT)[0]) if len(info) == _INFO_BYTES else None
