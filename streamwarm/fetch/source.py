"""Where objects come from, as the transfer sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen


class Origin(StrEnum):
    """How an object's bytes reached its destination; the values are the `source` of a result."""

    STREAM = "stream"
    """From the bucket."""
    CACHE = "cache"
    """From the download cache."""
    HANDOFF = "handoff"
    """The destination fetched them by itself; no `SourceObject` has this."""


@frozen
class ObjectInfo:
    """What the answer's head tells before the first byte.

    `bytes` is the exact size of the stored object. `content_encoding` is None for identity.
    """

    r2_key: str
    bytes: int
    etag: str | None
    content_type: str | None
    content_encoding: str | None = None


@frozen
class SignedUrl:
    """An address at which anybody may read one object until it expires: a secret. `host` may be shown."""

    url: str = field(repr=False)
    host: str


class SourceObject(Protocol):
    """An object open for one reading, front to back."""

    @property
    def info(self) -> ObjectInfo: ...

    @property
    def origin(self) -> Origin:
        """Where the bytes come from: `STREAM` or `CACHE`."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The object's bytes, in order, exactly `info.bytes` of them; anything else raises `SourceError`.

        A piece may be a view of a reused buffer: it is valid until the next one is asked for.
        """
        ...


class Source(Protocol):
    """A bucket."""

    def open_object(self, r2_key: str, *, sha256: str | None = None) -> AbstractAsyncContextManager[SourceObject]:
        """Open the object of exactly this name; it holds one connection while open. Raises `SourceError`.

        `sha256` is the digest the reader wants, lower-case hex: a cache that holds it need not ask the bucket whether
        the object is still the same. The bytes are not checked against it here.
        """
        ...

    async def head_object(self, r2_key: str) -> ObjectInfo:
        """What the bucket holds under this name now. Raises `SourceError`."""
        ...

    def sign_url(self, r2_key: str, *, expires_s: int) -> SignedUrl:
        """An address for a GET of the object of exactly this name, good for `expires_s` seconds. Raises `SourceError`
        for a name that no object can have."""
        ...


class ResumableSource(Source, Protocol):
    """A bucket that can also be asked for the rest of an object: what the cache needs."""

    def open_rest(self, info: ObjectInfo, offset: int) -> AbstractAsyncContextManager[SourceObject]:
        """Open the very object of `info` from byte `offset` on; `pieces` gives `info.bytes - offset` bytes.

        Raises `SourceError`: `source_changed` where the bucket holds another by now.
        """
        ...
