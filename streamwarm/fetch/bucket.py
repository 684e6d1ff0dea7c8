"""Signed requests to one bucket, and their answers as they arrive: the thin layer between S3 and httpx.

Time limits. One cancel scope bounds the whole way to an answer's head (a pool slot, the connection, the request, the
wait) by `headers_timeout_s`. For the body, one scope per piece would cost about 25 µs, 6 % of the cost of a gigabyte.
So the transport's own read limit bounds silence (it is armed only while nothing has arrived) and `Pace` bounds a
trickle. The read limit holds before the head too: no wait for a byte is longer than `body_timeout_s`.

Closing. httpx returns a body through nested async generators and closes only the outermost if a reader stops early;
the rest would be left to the garbage collector. `Answer.aclose` ends all of them by cancelling one read.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import httpx
import trio
from attrs import define, evolve, field

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.answers import Asked, Head, error_of
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.pace import Pace
from streamwarm.fetch.source import SignedUrl
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.s3.sigv4 import EMPTY_PAYLOAD, S3Request, Signer, SigningKeys, object_path, signatures_in

MAX_ERROR_BYTES = 64 * 1024
"""How far an error's body is read. S3's error documents are under 1 KiB; a proxy's page may be of any length."""


@define(eq=False)
class Answer:
    """An answer whose body is not read yet. It keeps its connection until `aclose`."""

    head: Head
    _response: httpx.Response
    _pieces: AsyncIterator[bytes]
    _pace: Pace
    _finished: bool = field(default=False, init=False)

    @property
    def signatures(self) -> tuple[str, ...]:
        """What was signed for this request alone."""
        return signatures_in(self._response.request.headers["authorization"])

    async def piece(self) -> bytes:
        """Return the next piece as it arrives, not decoded, or `b""` at the end.

        Raises `SourceError`: `source_unavailable` if the connection broke, `timeout` if nothing arrived.
        """
        asked_at = trio.current_time()
        try:
            piece = await anext(self._pieces, b"")
        except httpx.TimeoutException as error:
            raise _stalled(self._pace.window_s) from error
        except httpx.TransportError as error:
            raise _broken(error) from error
        self._finished = not piece
        if self._pace.is_stalled_after(trio.current_time() - asked_at, len(piece)):
            raise _stalled(self._pace.window_s)
        return piece

    async def read(self, max_bytes: int) -> bytes:
        """Return the body, cut off at `max_bytes`."""
        body = bytearray()
        while len(body) < max_bytes and (piece := await self.piece()):
            body += piece
        return bytes(body[:max_bytes])

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        try:
            if not self._finished:
                await self._unwind()
        finally:
            await self._response.aclose()

    async def _unwind(self) -> None:
        """End every generator of the body. Bytes that are buffered already may come out first; they are dropped."""
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                while await anext(self._pieces, b""):
                    pass
            except httpx.TransportError:
                return  # a broken connection is closed already


@define(eq=False)
class BucketClient:
    """Sends signed requests to one bucket. `now` gives Unix seconds; `client` is shared and stays open."""

    client: httpx.AsyncClient
    bucket: Bucket
    signing_keys: SigningKeys
    now: Callable[[], float]
    headers_timeout_s: float
    body_timeout_s: float
    redact: Redactor = knows_no_secrets
    _endpoint: httpx.URL = field(init=False)  # parsing it afresh costs a small object 4 % of its time
    _host: str = field(init=False)
    _timeout: httpx.Timeout = field(init=False)
    _signer: Signer = field(init=False)

    def __attrs_post_init__(self) -> None:
        bucket, limits = self.bucket, self.client.timeout
        self._endpoint = httpx.URL(bucket.endpoint_url)
        self._host = self._endpoint.netloc.decode("ascii")
        self._timeout = httpx.Timeout(
            connect=limits.connect, pool=limits.pool, write=self.body_timeout_s, read=self.body_timeout_s
        )
        self._signer = Signer(bucket.access_key_id, bucket.secret_access_key, self.signing_keys, bucket.region)

    async def ask(
        self,
        asked: Asked,
        r2_key: str = "",
        *,
        expect: frozenset[int],
        query: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """Send a request without a body and return the answer, if its status is in `expect`. The caller closes it.
        `within_s`: how long the head may take, if not `headers_timeout_s`.

        Raises `SourceError` for any other status. If the connection dies before the head, the request is sent once
        more: the server may have closed an idle connection just as it was reused, and repeating a request without a
        body is harmless.
        """
        method = "HEAD" if asked is Asked.HEAD else "GET"
        s3_request = self._s3_request(method, r2_key, query=query, headers=headers or {})
        try:
            answer = await self._send(self._build(s3_request), timeout_s=within_s)
        except _ConnectionLostError:
            answer = await self._send(self._build(s3_request), timeout_s=within_s)
        return await self._expected(answer, asked, r2_key, expect)

    @asynccontextmanager
    async def asking(
        self,
        asked: Asked,
        r2_key: str = "",
        *,
        expect: frozenset[int],
        query: tuple[tuple[str, str], ...] = (),
    ) -> AsyncIterator[Answer]:
        """Do as `ask` does, and close the answer at the end of the block."""
        answer = await self.ask(asked, r2_key, expect=expect, query=query)
        try:
            yield answer
        finally:
            await answer.aclose()

    async def put(
        self,
        r2_key: str,
        body: bytes | AsyncIterable[bytes],
        *,
        length_bytes: int,
        content_type: str,
        payload_hash: str,
    ) -> Head:
        """Store an object and return the answer's head. The upload may take any time as long as bytes move."""
        s3_request = self._s3_request("PUT", r2_key, headers={"content-type": content_type}, payload_hash=payload_hash)
        request = self._build(s3_request, body=body, length_bytes=length_bytes)
        answer = await self._send(request, timeout_s=float("inf"))
        answer = await self._expected(answer, Asked.PUT, r2_key, frozenset({200, 201, 204}))
        await answer.aclose()
        return answer.head

    def sign_url(self, r2_key: str, *, expires_s: int) -> SignedUrl:
        """Return an address for a GET without headers. It works without credentials, so it must never be shown."""
        s3_request = self._s3_request("GET", r2_key, headers={})
        target = self._signer.presigned_target(s3_request, expires_s=expires_s, now=self.now())
        # Not through httpx's URL, which would normalize `..` out of the path that is signed.
        endpoint = httpx.URL(self.bucket.endpoint_url)
        return SignedUrl(f"{endpoint.scheme}://{s3_request.host}{target.decode('ascii')}", endpoint.host)

    def _s3_request(
        self,
        method: str,
        r2_key: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str],
        payload_hash: str = EMPTY_PAYLOAD,
    ) -> S3Request:
        path = object_path(self.bucket.bucket, r2_key)
        return S3Request(method, self._host, path, query, headers, payload_hash)

    def _build(
        self,
        s3_request: S3Request,
        *,
        body: bytes | AsyncIterable[bytes] | None = None,
        length_bytes: int | None = None,
    ) -> httpx.Request:
        headers = self._signer.headers(s3_request, now=self.now())
        # Not signed: a proxy may rewrite them.
        headers["accept-encoding"] = "identity"
        if length_bytes is not None:
            headers["content-length"] = str(length_bytes)
        # A URL parser would normalize `..` out of the path, but it must be sent as it was signed. With a transport that
        # does not know this extension, the signature does not fit and the server refuses the request.
        return self.client.build_request(
            s3_request.method,
            self._endpoint,
            headers=headers,
            content=body,
            timeout=self._timeout,
            extensions={"target": s3_request.target},
        )

    async def _send(self, request: httpx.Request, *, timeout_s: float | None = None) -> Answer:
        response: httpx.Response | None = None
        try:
            with trio.move_on_after(self.headers_timeout_s if timeout_s is None else timeout_s):
                response = await self.client.send(request, stream=True, auth=None, follow_redirects=False)
        except httpx.TimeoutException as error:
            raise self._too_slow() from error
        except (httpx.ReadError, httpx.RemoteProtocolError) as error:
            raise _ConnectionLostError(error) from error
        except httpx.TransportError as error:
            raise _broken(error) from error
        if response is None:
            raise self._too_slow()
        # httpx's own look-up decodes every header each time.
        head = self._kept(Head.of(response.status_code, dict(response.headers.items())), request)
        return Answer(head, response, aiter(cast(httpx.AsyncByteStream, response.stream)), Pace(self.body_timeout_s))

    def _kept(self, head: Head, request: httpx.Request) -> Head:
        """The head without headers that quote a secret: they would be kept with the job, or shown."""
        signatures = signatures_in(request.headers["authorization"])
        if head.etag is not None and self.redact.carries(head.etag, *signatures):
            head = evolve(head, etag=None)
        rest = "\n".join(filter(None, (head.content_type, head.content_encoding)))
        if rest and self.redact.carries(rest, *signatures):
            head = evolve(head, content_type=None, content_encoding=None)
        return head

    def _too_slow(self) -> SourceError:
        return SourceError(
            ErrorCode.TIMEOUT, f"{self.bucket.endpoint_url} gave no answer in time; it will be asked again"
        )

    async def _expected(self, answer: Answer, asked: Asked, r2_key: str, expect: frozenset[int]) -> Answer:
        if answer.head.status in expect:
            return answer
        try:
            body = await self._error_body(answer)
        finally:
            await answer.aclose()
        raise error_of(
            answer.head,
            body,
            asked=asked,
            bucket=self.bucket.bucket,
            r2_key=r2_key,
            now=self.now(),
            redact=self.redact.also(*answer.signatures),
        )

    async def _error_body(self, answer: Answer) -> bytes:
        """As much of an error's document as can be read. Without it, the status still says enough."""
        with trio.move_on_after(self.headers_timeout_s):
            try:
                return await answer.read(MAX_ERROR_BYTES)
            except SourceError:
                return b""
        return b""


class _ConnectionLostError(SourceError):
    """The connection ended before an answer's head."""

    def __init__(self, error: httpx.TransportError) -> None:
        super().__init__(ErrorCode.SOURCE_UNAVAILABLE, _broken(error).message)


def _stalled(window_s: float) -> SourceError:
    return SourceError(ErrorCode.TIMEOUT, f"the source sent almost nothing for {window_s:g} s; it will be asked again")


def _broken(error: httpx.TransportError) -> SourceError:
    # h11 quotes the header it will not send, and one of ours is the signature.
    detail = "" if isinstance(error, httpx.LocalProtocolError) else f": {error}"
    return SourceError(
        ErrorCode.SOURCE_UNAVAILABLE,
        f"the connection to the bucket failed ({type(error).__name__}{detail}); it will be tried again",
    )
