"""The S3 destination: any S3 bucket, such as R2's. An object that fits one part is one PUT, a larger one a multipart
upload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Literal

import httpx

from streamwarm.errors import DestinationError, ErrorCode, InvalidJob, InvalidOptions
from streamwarm.model import MAX_KEY_BYTES, JsonObject, NewJob, State
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.s3.bounds import MOST_BYTES, TRACES
from streamwarm.s3.sigv4 import Signer, SigningKeys
from streamwarm.send.destination import Body, Media
from streamwarm.send.exchange import Upload, stored_headers
from streamwarm.send.s3.answers import UnclearRefusal, part_sizes
from streamwarm.send.s3.client import S3Client
from streamwarm.send.s3.multipart import COMPLETE_S, Multipart
from streamwarm.send.s3.probe import PROBE_NAME, BucketProbe
from streamwarm.send.template import Template
from streamwarm.send.verifying import Verified, Works
from streamwarm.settings.s3 import S3Settings


class S3Destination:
    """A bucket. A repeated upload replaces the object, so a lost answer costs at most another upload."""

    on_unknown: Literal["retry", "hold"] = "retry"

    def __init__(
        self,
        name: str,
        settings: S3Settings,
        client: httpx.AsyncClient,
        *,
        now: Callable[[], float],
        new_token: Callable[[], str],
        redact: Redactor = knows_no_secrets,
    ) -> None:
        self.name = name
        self.answer_timeout_s = COMPLETE_S
        self._settings = settings
        self._key = Template.parse(settings.key)
        signer = Signer(
            str(settings.access_key_id), str(settings.secret_access_key), SigningKeys(), region=settings.region
        )
        self._client = S3Client(client, settings.endpoint_url.rstrip("/"), settings.bucket, signer, now, redact)
        self._multipart = Multipart(self._client, name, new_token)
        self._probe = BucketProbe(self._client, settings.key.partition("{")[0] + PROBE_NAME)

    def check_job(self, job: NewJob) -> None:
        for option in job.options:
            raise InvalidOptions(f"options.{option[:64]}: an S3 destination has no options")
        self._key.check(job)
        if why_not := _why_no_key(self._key.render(job)):
            raise InvalidJob(f"r2_key: {why_not}")

    def check_media(self, media: Media) -> None:
        """Refuse also what `check_job` refuses, for jobs older than the configuration."""
        if media.bytes > MOST_BYTES:
            raise DestinationError(
                ErrorCode.TOO_LARGE,
                f"{media.r2_key} has {media.bytes} bytes; S3 takes an object of at most {MOST_BYTES} (5 TiB): split it",
            )
        if why_not := _why_no_key(self._key.fill(media)):
            raise DestinationError(ErrorCode.DESTINATION_REFUSED, why_not)

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        key = self._key.fill(media)
        try:
            etag = await self._upload(media, key, body)
        except UnclearRefusal as refused:
            raise await self._probe.judge(key, refused) from None
        except DestinationError as error:
            error.repeatable = error.code is ErrorCode.DELIVERY_UNKNOWN  # a second upload replaces the first
            raise
        self._probe.stored(key)
        return {"bucket": self._settings.bucket, "key": key, "etag": etag}

    async def _upload(self, media: Media, key: str, body: Body) -> str:
        """Store the object and return its ETag. Raises `DestinationError`."""
        headers, sizes = stored_headers(media), part_sizes(media.bytes, self._settings.part_bytes)
        if len(sizes) > 1:
            return await self._multipart.upload(media.job_id, key, headers, sizes, body)
        upload = Upload(body)
        async with aclosing(upload.pieces()) as content:
            return await self._client.upload(key, content, upload, length_bytes=media.bytes, headers=headers)

    async def verify(self, result: JsonObject) -> Verified:
        """HEAD of the object. It works if it is there, with the ETag that it was stored with."""
        key, etag = result.get("key"), result.get("etag")
        if result.get("bucket") != self._settings.bucket or not isinstance(key, str) or _why_no_key(key):
            return Verified(Works.UNPROVEN, f"it names no object of the bucket {self._settings.bucket}")
        answer = await self._client.ask("HEAD", key)
        if answer.status == 404:
            return Verified(Works.BAD, "the bucket has no such object any more")
        if answer.status != 200:
            raise self._client.refusal(answer, key)
        found = self._client.kept_etag(answer, str(answer.headers.get("ETag", "")))
        if not etag or not found:
            return Verified(Works.UNPROVEN, "the object is there; no ETag says whether it is the same one")
        if _unquoted(found) != _unquoted(str(etag)):
            return Verified(Works.BAD, f"the bucket has another object there; its ETag is {found}")
        return Verified(Works.GOOD)

    async def check(self) -> None:
        """Check that the bucket can be listed with these keys. Raises `DestinationError` with the remedy if not."""
        answer = await self._client.ask("GET", query=(("list-type", "2"), ("max-keys", "1")))
        if answer.status != 200:
            raise self._client.refusal(answer, "")

    async def sweep(self, state_of: Callable[[str], Awaitable[State | None]]) -> None:
        """Abort the multipart uploads of attempts that were killed with their process."""
        await self._multipart.sweep(state_of)


def _unquoted(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _why_no_key(key: str) -> str | None:
    size_bytes = len(key.encode())
    if not 1 <= size_bytes <= MAX_KEY_BYTES:
        return f"the object's name at the destination would have {size_bytes} bytes; S3 takes 1 to {MAX_KEY_BYTES}"
    if key.startswith(TRACES):
        return f"{TRACES} is where streamwarm keeps notes about its uploads; no object may have such a key"
    return None
