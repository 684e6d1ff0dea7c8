"""Where objects come from, as the transfer sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.warm_record import bare_etag


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
    """What is known of an object before its first byte, from the answer's head.

    `bytes` is the exact size of the stored object. `etag` is the header as it came, `source_etag` what records keep of
    it. `content_encoding` is None for identity. `seen_at` is when the bucket was asked (trio's time), None if that is
    not known: it had this version then or a moment later.
    """

    r2_key: str
    bytes: int
    etag: str | None
    content_type: str | None
    content_encoding: str | None = None
    seen_at: float | None = field(default=None, eq=False)

    @property
    def source_etag(self) -> str | None:
        return bare_etag(self.etag)


@frozen
class ObjectVersion:
    """Which version of an object the bucket has. `etag` is unquoted, without `W/`; None if the bucket names none.
    `last_modified` is in Unix seconds."""

    etag: str | None
    last_modified: float | None


@frozen
class ListedObject:
    """One object in a listing."""

    r2_key: str
    bytes: int | None
    """None if the listing does not say."""

    etag: str
    last_modified: float | None = field(default=None, eq=False)
    """Unix seconds; None if the listing does not say."""


@frozen
class SignedUrl:
    """An address from which anybody can read one object until it expires. It is a secret; `host` may be shown."""

    url: str = field(repr=False)
    host: str


@frozen
class CachedObject:
    """An object of which there is a complete copy. `sha256` is the copy's digest, lower-case hex."""

    r2_key: str
    sha256: str


class LengthUnknown(SourceError):
    """Neither GET nor HEAD tells how long the object is."""

    def __init__(self, r2_key: str) -> None:
        super().__init__(
            ErrorCode.SOURCE_REFUSED,
            f"the server tells the length of {r2_key!r} neither by GET nor by HEAD, and it must be known before the "
            "first byte leaves; set cache.max_bytes to have it measured, or have the bucket answer HEAD",
            permanent=False,
        )


class SourceObject(Protocol):
    """An object open for one reading, front to back."""

    @property
    def info(self) -> ObjectInfo: ...

    @property
    def origin(self) -> Origin:
        """Where the bytes come from: `STREAM` or `CACHE`."""
        ...

    async def read_at(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on, of the version that is open. `pieces` is not affected.

        The range lies inside the object. Raises `SourceError`: `source_changed` if the bucket has another version, and
        `source_refused` if it gives no ranges.
        """
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the object's bytes in order, exactly `info.bytes` of them; anything else raises `SourceError`.

        A piece may be a view of a reused buffer, so it is valid only until the next one is requested.
        """
        ...


class Source(Protocol):
    """A bucket."""

    def open_object(self, r2_key: str, *, sha256: str | None = None) -> AbstractAsyncContextManager[SourceObject]:
        """Open the object of exactly this name. While open it holds one connection. Raises `SourceError`.

        `sha256` is the digest that the reader expects, lower-case hex. A cache that has it need not ask the bucket
        whether the object is unchanged. The bytes are not checked against it here.
        """
        ...

    async def head_object(self, r2_key: str) -> ObjectInfo:
        """Return what the bucket holds under this name now. Raises `SourceError`."""
        ...

    async def version_of(self, r2_key: str) -> ObjectVersion:
        """Return which version of the object the bucket has now, by small requests. Raises `SourceError`.

        `source_not_found` with `Blame.UNSURE` may be about the bucket: a probe finds out.
        """
        ...

    async def probe(self, *, warmed: Sequence[str] = (), queued: Sequence[str] = ()) -> None:
        """Return if the bucket can be read; else raise `SourceError`. Asks the bucket for a few small answers.

        `warmed` are keys of objects that could be read at some time, `queued` those of objects that jobs wait for.
        """
        ...

    def set_offline(self, offline: bool) -> None:
        """While offline, the bucket gets probes alone. A cached copy is used without asking whether the object has
        changed. Without one, an object is refused with `SourceOffline`."""
        ...

    def list_objects(self, prefix: str = "") -> AsyncIterator[ListedObject]:
        """List every object whose key starts with `prefix`, in the bucket's own order. Raises `SourceError`."""
        ...

    def is_cached(self, r2_key: str) -> bool:
        """Whether the object can be opened without the bucket."""
        ...

    def cached(self) -> Sequence[CachedObject]:
        """The objects that can be opened without the bucket."""
        ...

    def sign_url(self, r2_key: str, *, expires_s: int) -> SignedUrl:
        """Return an address for a GET of the object of exactly this name, valid for `expires_s` seconds.

        Raises `SourceError` for a name that no object can have.
        """
        ...


class ResumableSource(Source, Protocol):
    """A bucket from which the rest of an object can be read too. The cache needs this."""

    def open_unsized(self, r2_key: str) -> AbstractAsyncContextManager[SourceObject]:
        """Open an object whose length is not known: `info.bytes` is 0. `pieces` ends where the server says it ends.

        Raises `SourceError`, also if its end cannot be told from a cut.
        """
        ...

    def open_rest(self, info: ObjectInfo, offset: int) -> AbstractAsyncContextManager[SourceObject]:
        """Open the same object as `info` from byte `offset` on; `pieces` returns `info.bytes - offset` bytes.

        Raises `SourceError`: `source_changed` if the bucket holds another object by now.
        """
        ...
