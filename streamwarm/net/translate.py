"""The one place where httpcore2's, h11's and trio's complaints become httpx's exceptions.

It is wrapped around our own socket and protocol calls, never around the caller's body iterator, so what the
caller's own code raises passes through as it is.
"""

from __future__ import annotations

from types import TracebackType

import h11
import httpcore2
import httpx

TRANSLATION: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore2.ConnectTimeout: httpx.ConnectTimeout,
    httpcore2.ReadTimeout: httpx.ReadTimeout,
    httpcore2.WriteTimeout: httpx.WriteTimeout,
    httpcore2.ConnectError: httpx.ConnectError,
    httpcore2.ReadError: httpx.ReadError,
    httpcore2.WriteError: httpx.WriteError,
    httpcore2.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore2.LocalProtocolError: httpx.LocalProtocolError,
    h11.RemoteProtocolError: httpx.RemoteProtocolError,
    h11.LocalProtocolError: httpx.LocalProtocolError,
}


class _Translated:
    """A context manager without state: one instance serves all, at a tenth of the cost of a generator's."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and (translation := TRANSLATION.get(type(error))):
            raise translation(str(error)) from error


translated = _Translated()
