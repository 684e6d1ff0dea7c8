"""HTTP with asks: the bucket that is filled, the service that is asked, the emulator that tells what it got.

asks holds whole bodies, so a large object goes up in parts. Each request has a connection of its own: asks does not
notice a kept-alive connection that its peer has closed.
"""

from __future__ import annotations

import hashlib
import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import asks
import h11
import trio
from asks.errors import AsksException
from asks.response_objects import Response
from attrs import field, frozen

from load.content import LoadObject
from streamwarm.s3.sigv4 import S3Request, Signer, SigningKeys, object_path

TIMEOUT_S = 60.0
MAX_ASKED, LATER_S = 10, 1.0
"""How often a request goes out that the service's own allowance refuses, and the pause where it does not say."""

UPLOADS = 8
"""Uploads into the bucket at a time."""


CUT = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
"""How a connection that its peer cut looks through asks."""


class HttpError(Exception):
    """A request that failed; the message says which, and what to do."""


async def request(method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Response:
    """One request, whatever its status. Raises `HttpError` where nothing answers."""
    kwargs: dict[str, Any] = {"data": body} if body else {}
    try:
        with trio.fail_after(TIMEOUT_S):
            return await asks.request(method, url, headers=dict(headers or {}), follow_redirects=False, **kwargs)
    except (OSError, AsksException, h11.RemoteProtocolError, trio.TooSlowError, *CUT) as error:
        where = urlsplit(url)
        raise HttpError(
            f"nothing answers {method} {where.scheme}://{where.netloc}{where.path} "
            f"({str(error) or type(error).__name__}); is it running, and is that its address?"
        ) from None


@frozen
class BucketFiller:
    """Puts the objects of a run into the bucket that the service reads."""

    endpoint_url: str
    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    keys: SigningKeys = field(factory=SigningKeys, repr=False)

    async def fill(self, objects: Sequence[LoadObject]) -> None:
        """Put them all, `UPLOADS` at a time. Raises `HttpError`."""
        todo = iter(objects)
        async with trio.open_nursery() as nursery:
            for _ in range(min(UPLOADS, len(objects))):
                nursery.start_soon(self._put_each, todo)

    async def _put_each(self, todo: Iterator[LoadObject]) -> None:
        for made in todo:
            parts = iter(made.parts())
            first = next(parts)
            if len(first) == made.size_bytes:
                await self._ask("PUT", made.key, body=first, content_type=made.content_type)
            else:
                await self._put_in_parts(made)

    async def _put_in_parts(self, made: LoadObject) -> None:
        started = await self._ask("POST", made.key, (("uploads", ""),), content_type=made.content_type)
        upload_id = ET.fromstring(started.content).findtext("{*}UploadId") or ""
        etags = []
        for number, part in enumerate(made.parts(), 1):
            query = (("partNumber", str(number)), ("uploadId", upload_id))
            put = await self._ask("PUT", made.key, query, body=part)
            etags.append(put.headers["etag"])
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        await self._ask("POST", made.key, (("uploadId", upload_id),), body=body)

    async def _ask(
        self,
        method: str,
        key: str,
        query: tuple[tuple[str, str], ...] = (),
        *,
        body: bytes = b"",
        content_type: str = "",
    ) -> Response:
        signed = S3Request(
            method,
            urlsplit(self.endpoint_url).netloc,
            object_path(self.bucket, key),
            query,
            {"content-type": content_type} if content_type else {},
            hashlib.sha256(body).hexdigest(),
        )
        signer = Signer(self.access_key_id, self.secret_access_key, self.keys, self.region)
        url = self.endpoint_url.rstrip("/") + signed.target.decode()
        answer = await request(method, url, headers=signer.headers(signed, now=time.time()), body=body)
        if answer.status_code != 200:
            raise HttpError(f"the bucket answered {method} {key} with {answer.status_code}: {answer.text[:300]}")
        return answer


@frozen
class ServiceApi:
    """The HTTP interface of the service under load."""

    url: str
    token: str | None = field(repr=False)

    async def text(self, path: str) -> str:
        """Raises `HttpError` for anything but 200."""
        answer = await self._get(path)
        if answer.status_code == 401:
            raise HttpError(f"{self.url} wants a token; give one of its auth.tokens with --token or STREAMWARM_TOKEN")
        if answer.status_code != 200:
            raise HttpError(f"GET {self.url}{path} answered {answer.status_code}: {answer.text[:300]}")
        return str(answer.text)

    async def stats(self) -> dict[str, Any]:
        return dict(json.loads(await self.text("/v1/stats")))

    async def media(self, destination: str, kind: str, sha256_or_key: str) -> dict[str, Any] | None:
        """The warm record, as a bot asks for it; None if it is cold."""
        path = "/".join(quote(part, safe="/") for part in (destination, kind, sha256_or_key))
        answer = await self._get(f"/v1/media/{path}")
        if answer.status_code == 404:
            return None
        return dict(json.loads(answer.text))

    async def forget(self, destination: str, kind: str, sha256_or_key: str) -> None:
        """Drop a warm record, if there is one, so that the next push warms again."""
        path = "/".join(quote(part, safe="/") for part in (destination, kind, sha256_or_key))
        answer = await self._ask("DELETE", f"/v1/media/{path}")
        if answer.status_code not in (200, 204, 404):
            raise HttpError(f"DELETE {self.url}/v1/media/{path} answered {answer.status_code}: {answer.text[:300]}")

    async def _get(self, path: str) -> Response:
        return await self._ask("GET", path)

    async def _ask(self, method: str, path: str) -> Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        for _ in range(MAX_ASKED):
            answer = await request(method, self.url.rstrip("/") + path, headers=headers)
            if answer.status_code != 429:
                break
            await trio.sleep(float(answer.headers.get("retry-after", LATER_S)))
        return answer


@frozen
class EmulatorApi:
    """What the Bot API emulator tells of itself, and takes faults by."""

    base_url: str

    async def inject(self, faults: Sequence[Mapping[str, Any]]) -> None:
        if faults:
            await self._result("POST", "/sandbox/faults", json.dumps(list(faults)).encode())

    async def refuse(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Let chats refuse what these rules match, from now on."""
        await self._result("POST", "/sandbox/refusals", json.dumps(list(rules)).encode())

    async def refused(self) -> list[dict[str, Any]]:
        """How often each chat refused each kind, and in what words."""
        return list((await self._result("GET", "/sandbox/refusals"))["refused"])

    async def traffic(self) -> dict[str, Any]:
        return dict(await self._result("GET", "/sandbox/traffic"))

    async def deliveries(self, after: int) -> list[dict[str, Any]]:
        """All messages with a file that it took after number `after`."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self._result("GET", f"/sandbox/deliveries?after={after}&limit=1000")
            found += page["deliveries"]
            if not page["deliveries"] or found[-1]["seq"] >= page["last_seq"]:
                return found
            after = found[-1]["seq"]

    async def delivered(self) -> int:
        """How many there were so far."""
        return int((await self._result("GET", "/sandbox/deliveries?limit=0"))["last_seq"])

    async def _result(self, method: str, path: str, body: bytes = b"") -> Any:
        answer = await request(method, self.base_url + path, body=body)
        if answer.status_code != 200:
            raise HttpError(f"{method} {self.base_url}{path} answered {answer.status_code}: {answer.text[:300]}")
        return json.loads(answer.text)["result"]
