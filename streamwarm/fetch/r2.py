"""A Cloudflare R2 bucket, or any S3 bucket, as a source of objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx
import trio
from attrs import evolve

from streamwarm.errors import ErrorCode, SourceError, SourceOffline
from streamwarm.fetch.answers import (
    MAX_PAGE_BYTES,
    Asked,
    Head,
    ListPage,
    is_same_version,
    is_strong,
    parse_list_page,
)
from streamwarm.fetch.bucket import Answer, BucketClient
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.listing import Listing
from streamwarm.fetch.probe import probe_bucket
from streamwarm.fetch.resuming import ResumingObject, UnsizedObject, check_continuation, check_range
from streamwarm.fetch.source import (
    CachedObject,
    LengthUnknown,
    ListedObject,
    ObjectInfo,
    ObjectVersion,
    ResumableSource,
    SignedUrl,
    SourceObject,
)
from streamwarm.fetch.version import Versions
from streamwarm.model import MAX_KEY_BYTES
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.watch.observations import BytesMoved, Direction, Observer, unobserved

__all__ = ["Bucket", "ListedObject", "R2Source"]

_OK = frozenset({200})
_OK_OR_PARTIAL = frozenset({200, 206})


class R2Source(ResumableSource):
    """Reads, lists and checks one bucket. Raises `SourceError` and nothing else.

    `client` is shared and stays open; `now` returns Unix seconds; `uniform` returns jitter in [0, 1);
    `redact` masks the secrets that an answer quotes.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        bucket: Bucket,
        *,
        signing_keys: SigningKeys,
        now: Callable[[], float],
        uniform: Callable[[], float],
        headers_timeout_s: float = 30.0,
        body_timeout_s: float = 60.0,
        observe: Observer = unobserved,
        redact: Redactor = knows_no_secrets,
    ) -> None:
        self._bucket = BucketClient(client, bucket, signing_keys, now, headers_timeout_s, body_timeout_s, redact)
        self._versions = Versions(self._bucket)
        self._observe = observe
        self._uniform = uniform
        self._offline = False
        self._last_read: str | None = None

    @asynccontextmanager
    async def open_object(self, r2_key: str, *, sha256: str | None = None) -> AsyncIterator[SourceObject]:
        """Open the object of exactly this name. Its bytes come as stored, over as many connections as that takes.

        `sha256`: the job's digest, if it names one. An answer that does not look like S3's is read only then.
        """
        self._check_online(r2_key)
        asked_at = trio.current_time()
        answer = await self._bucket.ask(Asked.OBJECT, _named(r2_key), expect=_OK)
        self._last_read = r2_key
        try:
            info = evolve(await self._describe(r2_key, answer.head, sha256), seen_at=asked_at)
        except BaseException:
            await answer.aclose()
            raise
        async with self._reading(info, answer, offset=0) as source_object:
            yield source_object

    @asynccontextmanager
    async def open_unsized(self, r2_key: str) -> AsyncIterator[SourceObject]:
        """See `ResumableSource.open_unsized`. An end without chunks or a length looks like a cut, so it is refused."""
        self._check_online(r2_key)
        asked_at = trio.current_time()
        answer = await self._bucket.ask(Asked.OBJECT, _named(r2_key), expect=_OK)
        try:
            if not answer.head.is_chunked or answer.head.etag is None or answer.head.content_encoding is not None:
                raise LengthUnknown(r2_key)
            yield UnsizedObject(answer.head.info(r2_key, 0, seen_at=asked_at), answer)
        finally:
            await answer.aclose()

    @asynccontextmanager
    async def open_rest(self, info: ObjectInfo, offset: int) -> AsyncIterator[SourceObject]:
        """Open the object of `info` from byte `offset` on. It has a strong ETag, and `offset` is before its end."""
        answer = await self._reopen(info, offset)
        try:
            check_continuation(answer.head, info, offset)
        except BaseException:
            await answer.aclose()
            raise
        async with self._reading(info, answer, offset=offset) as source_object:
            yield source_object

    @asynccontextmanager
    async def _reading(self, info: ObjectInfo, answer: Answer, *, offset: int) -> AsyncIterator[SourceObject]:
        reopen = partial(self._reopen, info)
        read_range = partial(self._read_range, info)
        source_object = ResumingObject(info, answer, reopen, read_range, self._observe, self._uniform, offset)
        try:
            yield source_object
        finally:
            self._observe(BytesMoved(Direction.SOURCE, source_object.bytes_in))
            await source_object.aclose()

    async def head_object(self, r2_key: str) -> ObjectInfo:
        """Return size (0 is possible here), ETag, type and stored encoding, from a HEAD."""
        self._check_online(r2_key)
        return await self._head(r2_key)

    async def version_of(self, r2_key: str) -> ObjectVersion:
        """Return the object's version. `fetch.version` has the rules."""
        self._check_online(r2_key)
        return await self._versions.ask(_named(r2_key))

    async def _head(self, r2_key: str) -> ObjectInfo:
        asked_at = trio.current_time()
        async with self._bucket.asking(Asked.HEAD, _named(r2_key), expect=_OK) as answer:
            head = answer.head
        if head.length_bytes is None:
            raise SourceError(
                ErrorCode.SOURCE_REFUSED,
                f"the server does not report the size of {r2_key!r}; check r2.endpoint_url",
            )
        return head.info(r2_key, head.length_bytes, seen_at=asked_at)

    def set_offline(self, offline: bool) -> None:
        self._offline = offline

    def is_cached(self, r2_key: str) -> bool:
        return False

    def cached(self) -> Sequence[CachedObject]:
        return ()

    def _check_online(self, r2_key: str) -> None:
        if self._offline:
            raise SourceOffline(r2_key)

    def sign_url(self, r2_key: str, *, expires_s: int) -> SignedUrl:
        return self._bucket.sign_url(_named(r2_key), expires_s=expires_s)

    def list_objects(self, prefix: str = "") -> AsyncIterator[ListedObject]:
        """List every object whose key starts with `prefix`, in the bucket's order, in pages of 1000.

        No connection is held between items, so a reader may stop at any point.
        """
        _check_text(prefix, "prefix")
        return Listing(partial(self._list_page, prefix))

    async def check(self) -> None:
        """Return if the bucket can be listed with these credentials; else raise `SourceError` with the remedy."""
        await self._list_page("", None, max_keys=1)

    async def probe(self, *, warmed: Sequence[str] = (), queued: Sequence[str] = ()) -> None:
        """Return if the bucket can be read; else raise `SourceError`. `fetch.probe` has the rules."""
        known = [self._last_read, *warmed] if self._last_read else warmed
        given = await probe_bucket(self._bucket, self._list_page, _names(known), _names(queued))
        self._last_read = given or self._last_read

    async def _list_page(self, prefix: str, token: str | None, *, max_keys: int = 1000) -> ListPage:
        query = (
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", str(max_keys)),
            ("prefix", prefix),
            *((("continuation-token", token),) if token else ()),
        )
        async with self._bucket.asking(Asked.LIST, expect=_OK, query=query) as answer:
            body = await answer.read(MAX_PAGE_BYTES)
        return parse_list_page(body)

    async def _reopen(self, info: ObjectInfo, offset: int) -> Answer:
        headers = {"range": f"bytes={offset}-", "if-match": info.etag or ""}
        return await self._bucket.ask(Asked.REST, info.r2_key, expect=_OK_OR_PARTIAL, headers=headers)

    async def _read_range(self, info: ObjectInfo, offset: int, count: int) -> bytes:
        if not is_strong(info.etag):
            raise SourceError(
                ErrorCode.SOURCE_REFUSED, f"object {info.r2_key!r} has no strong ETag to recognise a range of it by"
            )
        headers = {"range": f"bytes={offset}-{offset + count - 1}", "if-match": info.etag or ""}
        answer = await self._bucket.ask(Asked.REST, info.r2_key, expect=_OK_OR_PARTIAL, headers=headers)
        try:
            check_range(answer.head, info, offset, count)
            found = await answer.read(count + 1)  # to the end, so that the connection can be used again
        finally:
            await answer.aclose()
        self._observe(BytesMoved(Direction.SOURCE, len(found)))
        if len(found) != count:
            raise SourceError(
                ErrorCode.SOURCE_TRUNCATED, f"{len(found)} of {count} bytes at {offset} of {info.r2_key!r} came"
            )
        return found

    async def _describe(self, r2_key: str, head: Head, sha256: str | None) -> ObjectInfo:
        """The object's exact size and encoding, from HEAD if GET's own head does not settle them.

        An encoding counts as stored, and is handed out as it is, only if HEAD names the same one and the same size.
        Anything else was made on the way, and is refused. So is an answer without an ETag, which no S3 API gives for an
        object: it is a proxy's page, unless a digest will tell.
        """
        if head.etag is None and sha256 is None:
            raise SourceError(
                ErrorCode.SOURCE_UNAVAILABLE,
                f"the answer for {r2_key!r} has no ETag, so it may be a login page or an error of a proxy and not the "
                "object; check r2.endpoint_url, or name the object's sha256",
            )
        if head.length_bytes is not None and head.content_encoding is None:
            return _not_empty(head.info(r2_key, head.length_bytes))
        try:
            stored = await self._head(r2_key)
        except SourceError as refused:
            if head.length_bytes is None and head.content_encoding is None:
                raise LengthUnknown(r2_key) from refused
            refused.permanent = False  # a HEAD is no verdict on an object that a GET has just given
            raise
        if not is_same_version(stored.etag, head.etag):
            raise SourceError(ErrorCode.SOURCE_CHANGED, f"object {r2_key!r} was replaced while it was opened")
        if stored.content_encoding != head.content_encoding or head.length_bytes not in {None, stored.bytes}:
            sent = head.content_encoding or "identity"
            raise SourceError(
                ErrorCode.SOURCE_REFUSED,
                f"object {r2_key!r} was sent with Content-Encoding {sent} but is stored with "
                f"{stored.content_encoding or 'identity'}, so these are not the stored bytes; "
                "store it without Content-Encoding",
            )
        # GET's own ETag: what it says of these bytes, a weak one too, is what a reopen is compared with.
        return _not_empty(evolve(stored, etag=head.etag))


def _named(r2_key: str) -> str:
    """Return the key if an object can have it; else raise `SourceError` before anything is sent."""
    if not r2_key:
        # An empty key would address the bucket itself.
        raise SourceError(ErrorCode.SOURCE_NOT_FOUND, "the key is empty, and no object has an empty name")
    _check_text(r2_key, "key")
    return r2_key


def _names(keys: Iterable[str]) -> list[str]:
    """Return those that an object can have as its name, each once."""
    names: list[str] = []
    for key in dict.fromkeys(keys):
        with suppress(SourceError):
            names.append(_named(key))
    return names


def _check_text(text: str, what: str) -> None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        why = "is not valid Unicode"
    else:
        if size_bytes <= MAX_KEY_BYTES:
            return
        why = f"is {size_bytes} bytes long, over S3's limit of {MAX_KEY_BYTES}"
    raise SourceError(ErrorCode.SOURCE_NOT_FOUND, f"the {what} {text[:40]!r}… {why}, so no object has such a name")


def _not_empty(info: ObjectInfo) -> ObjectInfo:
    if info.bytes == 0 and info.etag is None:
        raise SourceError(ErrorCode.SOURCE_UNAVAILABLE, f"the answer for {info.r2_key!r} is empty and has no ETag")
    if info.bytes == 0:
        raise SourceError(
            ErrorCode.SOURCE_EMPTY,
            f"object {info.r2_key!r} is empty, and no destination takes that; upload it again",
        )
    return info
