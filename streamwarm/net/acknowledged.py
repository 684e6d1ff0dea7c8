"""How much of what we sent the far side's kernel has acknowledged.

Theory. A server may give up an idle connection at the very moment at which it is used again. What we write then goes
to nobody; yet all of a small upload fits into our own kernel's buffer, so the writes succeed and the connection simply
ends. That looks like an upload that was taken and whose answer was lost, and the two call for opposite reactions. TCP
knows: the segment that ends the far side's half of the connection also acknowledges all that had arrived by then. If
that is not one byte of the request, nobody can have read it.

A connection that is reset proves nothing: a reset does not acknowledge what arrived just before it.
"""

from __future__ import annotations

import socket
import struct
import sys

from streamwarm.net.backend import Stream

_INFO_BYTES = 128
_BYTES_ACKED_AT = 120
"""`tcpi_bytes_acked` in Linux's `struct tcp_info` (linux/tcp.h), there since Linux 4.1."""


def acknowledged_bytes(stream: Stream) -> int | None:
    """Bytes acknowledged since the connection was opened; None where the system does not tell."""
    connected = stream.get_extra_info("socket")
    if sys.platform != "linux" or not isinstance(connected, socket.socket):
        return None
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    return int(struct.unpack_from("=Q", info, _BYTES_ACKED_AT)[0]) if len(info) == _INFO_BYTES else None
