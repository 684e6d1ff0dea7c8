"""The S3 destination: any S3 bucket, R2's among them. One PUT for what fits a part, a multipart upload above it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from attrs import Attribute, field, frozen
from typed_settings.types import SecretStr

from streamwarm.errors import DestinationError, ErrorCode, InvalidJob, InvalidOptions
from streamwarm.model import MAX_KEY_BYTES, JsonObject, NewJob, State
from streamwarm.s3.sigv4 import Signer, SigningKeys
from streamwarm.send.destination import Body, Media
from streamwarm.send.exchange import Upload, stored_headers
from streamwarm.send.s3.answers import (
    LEAST_PART_BYTES,
    MIB,
    MOST_BYTES,
    MOST_PART_BYTES,
    part_sizes,
)
from streamwarm.send.s3.client import S3Client
from streamwarm.send.s3.multipart import COMPLETE_S, TRACES, Multipart
from streamwarm.send.template import Template
from streamwarm.settings.schema import BadValue

PART_BYTES = 64 * MIB
"""Below it an object costs one request; above it the answer to a part is hidden behind the next one."""


def _check_endpoint(_: object, __: Attribute[Any], value: str) -> None:
    try:
        url, port = httpx.URL(value), urlsplit(value).port
    except (httpx.InvalidURL, ValueError):
        raise BadValue("must be a URL, such as https://ACCOUNT.r2.cloudflarestorage.com") from None
    if url.scheme not in {"http", "https"} or not url.host or port == 0:
        raise BadValue("must be https://HOST or http://HOST:PORT")
    if url.userinfo or "@" in value:
        raise BadValue("must not have credentials in it; they are access_key_id and secret_access_key")
    if url.raw_path not in {b"", b"/"} or url.fragment:
        raise BadValue("must end after the host: the bucket's name goes into bucket")


def _check_word(_: object, __: Attribute[Any], value: str) -> None:
    if not re.fullmatch(r"[!-~]{1,256}", value) or "/" in value:
        raise BadValue("must be printable ASCII without spaces and slashes, not empty")


def _check_secret(_: object, __: Attribute[Any], value: SecretStr) -> None:
    if not value:
        raise BadValue("must not be empty")


def _check_key(_: object, __: Attribute[Any], value: str) -> None:
    template = Template.parse(value)
    if not value.isprintable():
        raise BadValue("has a character that cannot be printed")
    if not template.uses("r2_key") and not template.uses("sha256"):
        raise BadValue("must have {r2_key} or {sha256} in it: without, all objects would go to one name")
    if value.startswith(TRACES.partition("/")[0]):
        raise BadValue(f"must not begin with {TRACES}, where streamwarm keeps notes about its uploads")


def _check_part_bytes(_: object, __: Attribute[Any], value: int) -> None:
    if not LEAST_PART_BYTES <= value <= MOST_PART_BYTES:
        raise BadValue(f"must be from {LEAST_PART_BYTES} (5 MiB) to {MOST_PART_BYTES} (5 GiB)")


@frozen(kw_only=True)
class S3Settings:
    """`[destinations.<name>]` with `type = "s3"`."""

    type: str = "s3"
    endpoint_url: str = field(validator=_check_endpoint)
    bucket: str = field(validator=_check_word)
    access_key_id: SecretStr = field(validator=[_check_secret, _check_word])
    access_key_id_file: Path | None = None
    secret_access_key: SecretStr = field(validator=_check_secret)
    secret_access_key_file: Path | None = None
    region: str = field(default="auto", validator=_check_word)
    key: str = field(default="{r2_key}", validator=_check_key)
    part_bytes: int = field(default=PART_BYTES, validator=_check_part_bytes)


class S3Destination:
    """A bucket. A repeated upload replaces the object under its key, so a lost answer costs another upload at most."""

    on_unknown: Literal["retry", "hold"] = "retry"

    def __init__(
        self,
        name: str,
        settings: S3Settings,
        client: httpx.AsyncClient,
        *,
        now: Callable[[], float] = time.time,
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self.name = name
        self.answer_timeout_s = COMPLETE_S
        self._settings = settings
        self._key = Template.parse(settings.key)
        signer = Signer(
            str(settings.access_key_id), str(settings.secret_access_key), SigningKeys(), region=settings.region
        )
        self._client = S3Client(client, settings.endpoint_url.rstrip("/"), settings.bucket, signer, now)
        self._multipart = Multipart(self._client, name, new_token)

    def check_job(self, job: NewJob) -> None:
        for option in job.options:
            raise InvalidOptions(f"options.{option[:64]}: an S3 destination has no options")
        self._key.check(job)
        if why_not := _why_no_key(self._key.render(job)):
            raise InvalidJob(f"r2_key: {why_not}")

    def check_media(self, media: Media) -> None:
        """Also what `check_job` refuses, for jobs older than the configuration."""
        if media.bytes > MOST_BYTES:
            raise DestinationError(
                ErrorCode.TOO_LARGE,
                f"{media.r2_key} has {media.bytes} bytes; S3 takes an object of at most {MOST_BYTES} (5 TiB): split it",
            )
        if why_not := _why_no_key(self._key.fill(media)):
            raise DestinationError(ErrorCode.DESTINATION_REFUSED, why_not)

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        key, headers = self._key.fill(media), stored_headers(media)
        sizes = part_sizes(media.bytes, self._settings.part_bytes)
        if len(sizes) > 1:
            etag = await self._multipart.upload(media.job_id, key, headers, sizes, body)
        else:
            upload = Upload(body)
            async with aclosing(upload.pieces()) as content:
                etag = await self._client.upload(key, content, upload, length_bytes=media.bytes, headers=headers)
        return {"bucket": self._settings.bucket, "key": key, "etag": etag}

    async def check(self) -> None:
        """Return if the bucket can be listed with these keys; raise `DestinationError` with the remedy if not."""
        answer = await self._client.ask("GET", query=(("list-type", "2"), ("max-keys", "1")))
        if answer.status != 200:
            raise self._client.refusal(answer, "")

    async def sweep(self, state_of: Callable[[str], Awaitable[State | None]]) -> None:
        """Abort the multipart uploads of attempts that died with their process."""
        await self._multipart.sweep(state_of)


def _why_no_key(key: str) -> str | None:
    size_bytes = len(key.encode())
    if not 1 <= size_bytes <= MAX_KEY_BYTES:
        return f"the object's name at the destination would have {size_bytes} bytes; S3 takes 1 to {MAX_KEY_BYTES}"
    if key.startswith(TRACES):
        return f"{TRACES} is where streamwarm keeps notes about its uploads; no object goes there"
    return None
