"""h11's two errors as httpx's: everything else in `net/` raises httpx's exceptions itself.

`translated` is wrapped around calls of h11 only, never around the caller's body iterator, so what the caller's own code
raises passes through as it is.
"""

from __future__ import annotations

from types import TracebackType

import h11
import httpx


class _Translated:
    """A context manager without state: one instance serves all, at a tenth of the cost of a generator's."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, h11.RemoteProtocolError):
            raise httpx.RemoteProtocolError(str(error)) from error
        if isinstance(error, h11.LocalProtocolError):
            raise httpx.LocalProtocolError(str(error)) from error


translated = _Translated()
