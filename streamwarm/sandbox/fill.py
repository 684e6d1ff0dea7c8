"""Puts objects into a bucket. The demo's library and the load generator fill their sandbox with it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Callable

import httpx

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.bucket import BucketClient
from streamwarm.fetch.credentials import Bucket
from streamwarm.s3.sigv4 import UNSIGNED_PAYLOAD, SigningKeys


async def put_object(
    client: httpx.AsyncClient,
    bucket: Bucket,
    r2_key: str,
    body: bytes | AsyncIterable[bytes],
    *,
    length_bytes: int,
    content_type: str,
    signing_keys: SigningKeys,
    now: Callable[[], float],
    answer_timeout_s: float = 60.0,
) -> str:
    """Store `body`, which has exactly `length_bytes`, as `r2_key` and return its ETag (empty if the server gives none).

    Bytes are hashed into the signature. A stream is sent as it comes, with an unsigned payload. Every wait for the
    network ends after `answer_timeout_s`. Raises `SourceError`.
    """
    if not r2_key:
        raise SourceError(ErrorCode.SOURCE_REFUSED, "an object needs a name")
    payload_hash = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else UNSIGNED_PAYLOAD
    bucket_client = BucketClient(
        client,
        bucket,
        signing_keys,
        now,
        headers_timeout_s=answer_timeout_s,
        body_timeout_s=answer_timeout_s,
    )
    head = await bucket_client.put(
        r2_key, body, length_bytes=length_bytes, content_type=content_type, payload_hash=payload_hash
    )
    return head.etag or ""
