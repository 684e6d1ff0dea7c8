"""Signed requests to the bucket of an S3 destination: a thin layer over the shared client.

Time limits. `ASK_S` bounds a small request as a whole. An upload is bounded by the client's own limits (without a byte,
without an answer) and by the attempt's watchdog.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Callable, Mapping

import httpx
import trio
from attrs import define, field

from streamwarm.errors import DestinationError, ErrorCode, StaleConnection
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.s3.sigv4 import UNSIGNED_PAYLOAD, S3Request, Signer, object_path
from streamwarm.send.exchange import Answer, NoUpload, Outgoing, exchange
from streamwarm.send.s3.answers import kept_etag, read_refusal

ASK_S = 60.0
"""How long a small request may take: as long as a transfer may stand still by default (`pool.body_timeout_s`). A bucket
that is slower counts as down."""

ANSWER_BYTES = 1 << 20
"""How much of an answer is read: more than any has, such as a page of 1000 of our own short keys."""

STORED = frozenset({200, 201, 204})
"""An object, or a part, is stored. S3 answers 200; gateways to WebDAV and other stores answer 201 or 204."""

Query = tuple[tuple[str, str], ...]


@define(eq=False)
class S3Client:
    """Sends signed requests to one bucket. `endpoint_url` is scheme, host and port only. `now` returns Unix seconds."""

    client: httpx.AsyncClient
    endpoint_url: str
    bucket: str
    signer: Signer
    now: Callable[[], float]
    redact: Redactor = knows_no_secrets
    _endpoint: httpx.URL = field(init=False)
    _host: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._endpoint = httpx.URL(self.endpoint_url)
        self._host = self._endpoint.netloc.decode("ascii")

    async def upload(
        self,
        key: str,
        content: AsyncIterable[bytes],
        outgoing: Outgoing,
        *,
        length_bytes: int,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """PUT a stream of exactly `length_bytes` and return the ETag. Raises as `exchange` does.

        The payload is not signed, since that would mean reading it twice. TLS protects it; with a bucket over plain
        HTTP, the network must be trusted.
        """
        request = self._request("PUT", key, query, headers or {}, content, UNSIGNED_PAYLOAD, length_bytes)
        answer = await exchange(self.client, request, outgoing, max_bytes=ANSWER_BYTES)
        if answer.status not in STORED:
            raise self.refusal(answer, key, carried_object=True)
        return self.kept_etag(answer, str(answer.headers.get("ETag", "")))

    async def ask(
        self,
        method: str,
        key: str = "",
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        within_s: float = ASK_S,
    ) -> Answer:
        """Send a small request and return its answer, whatever the status. Raises `DestinationError`.

        If the connection dies before the answer, the request is sent once more, unless it is a POST: that may not be
        repeated.
        """
        digest = hashlib.sha256(body).hexdigest()
        length = len(body) if body or method in {"PUT", "POST"} else None

        async def ask_once() -> Answer:
            request = self._request(method, key, query, headers or {}, body or None, digest, length)
            return await exchange(self.client, request, NoUpload(), max_bytes=ANSWER_BYTES)

        try:
            with trio.fail_after(within_s):
                try:
                    return await ask_once()
                except StaleConnection:
                    if method == "POST":
                        raise
                    return await ask_once()
        except trio.TooSlowError:
            raise DestinationError(
                ErrorCode.TIMEOUT, f"the bucket did not answer {method} within {within_s:g} s"
            ) from None

    def kept_etag(self, answer: Answer, etag: str) -> str:
        """Return an ETag of this answer as it is stored: empty if it is none, or quotes a secret."""
        return "" if self.redact.carries(etag, *answer.signatures) else kept_etag(etag)

    def refusal(self, answer: Answer, key: str, *, carried_object: bool = False) -> DestinationError:
        return read_refusal(
            answer.status,
            answer.body,
            bucket=self.bucket,
            key=key,
            retry_after=answer.headers.get("Retry-After"),
            now=self.now(),
            redact=self.redact.also(*answer.signatures),
            carried_object=carried_object,
        )

    def _request(
        self,
        method: str,
        key: str,
        query: Query,
        headers: Mapping[str, str],
        content: AsyncIterable[bytes] | bytes | None,
        payload_hash: str,
        length_bytes: int | None,
    ) -> httpx.Request:
        to_sign = S3Request(method, self._host, object_path(self.bucket, key), query, headers, payload_hash)
        signed = self.signer.headers(to_sign, now=self.now())
        if length_bytes is not None:  # not signed: HTTP itself enforces the length
            signed["content-length"] = str(length_bytes)
        return self.client.build_request(
            method,
            self._endpoint,
            headers=signed,
            content=content,
            # A URL parser would normalize `..` out of the path, but it must be sent as it was signed.
            extensions={"target": to_sign.target},
        )
