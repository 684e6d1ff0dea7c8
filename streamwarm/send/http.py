"""The HTTP destination: one streamed `PUT` or `POST` of exact length, to a URL made from the job."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx

from streamwarm.errors import DestinationError, ErrorCode, InvalidJob, InvalidOptions
from streamwarm.model import JsonObject, NewJob
from streamwarm.retry import parse_retry_after
from streamwarm.send.destination import UNAUTHORIZED_PAUSE_S, Body, Media
from streamwarm.send.exchange import Answer, Upload, exchange, stored_headers
from streamwarm.send.template import Template
from streamwarm.settings.http import HttpSettings

ANSWER_TIMEOUT_S = 300.0
"""For an endpoint that stores what it got before it answers. Whoever needs longer answers 202."""

ANSWER_BYTES = 64 * 1024
"""Read of an answer's body, for its words where it refuses; a longer one costs the connection."""

RATE_LIMITED_S = 1.0
"""After a 429 that does not say how long to stay away."""

SHORTEST_SECRET = 6
"""A shorter text turns up in an ETag or a path by chance; it protects nothing anyway."""


class HttpDestination:
    """An endpoint that takes each object in one request.

    A repeated `PUT` replaces what the first one stored, so a lost answer costs another upload and nothing else; a
    repeated `POST` may store a second copy, which is what `possible_duplicate` tells.
    """

    on_unknown: Literal["retry", "hold"] = "retry"

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        client: httpx.AsyncClient,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        self._method = settings.method
        self._headers = {name: str(value) for name, value in settings.headers.items()}
        self._secrets = [secret for secret in settings.secrets if len(secret) >= SHORTEST_SECRET]
        parts = urlsplit(settings.url)
        self._origin = httpx.URL(f"{parts.scheme}://{parts.netloc}")
        target = settings.url.partition("://")[2][len(parts.netloc) :]
        # A slash is encoded, too: the key stays one segment, and cannot climb out of the path it is put into.
        self._target = Template.parse(target if target.startswith("/") else f"/{target}", _encode)
        self._client = client
        self._now = now

    def check_job(self, job: NewJob) -> None:
        for option in job.options:
            raise InvalidOptions(f"options.{option[:64]}: an HTTP destination has no options")
        self._target.check(job)
        if self._is_dot_segment(job.r2_key):
            raise InvalidJob("r2_key: . and .. mean a folder in a URL's path, so no URL names such an object")

    def check_media(self, media: Media) -> None:
        """What `check_job` refuses, for jobs older than the configuration. There is no limit of size."""
        self._target.fill(media)
        if self._is_dot_segment(media.r2_key):
            raise DestinationError(
                ErrorCode.DESTINATION_REFUSED, "no URL names an object called . or ..; they mean a folder in its path"
            )

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        headers = httpx.Headers({**stored_headers(media), "Content-Length": str(media.bytes)})
        headers.update(self._headers)  # in whatever case they are written
        upload = Upload(body)
        async with aclosing(upload.pieces()) as content:
            request = self._client.build_request(
                self._method,
                self._origin,
                content=content,
                headers=headers,
                # Past any URL parser, which would decode and tidy what has been encoded with care.
                extensions={"target": self._target.fill(media).encode("ascii")},
            )
            answer = await exchange(self._client, request, upload, max_bytes=ANSWER_BYTES)
        if not 200 <= answer.status < 300:
            raise read_refusal(answer, now=self._now())
        return self._reference(answer)

    def _is_dot_segment(self, r2_key: str) -> bool:
        path = self._target.text.partition("?")[0]
        return any(segment.replace("{r2_key}", r2_key) in {".", ".."} for segment in path.split("/") if "{" in segment)

    def _reference(self, answer: Answer) -> JsonObject:
        """`status`, and `etag` and `location` where the answer has them and they hold nothing secret."""
        reference: dict[str, Any] = {"status": answer.status}
        etag, location = answer.headers.get("ETag", ""), answer.headers.get("Location", "")
        # A query may be a signature, and whoever reads the record is not to be handed one.
        for name, value in (("etag", etag), ("location", re.split(r"[?#]", location)[0])):
            shown = re.fullmatch(r"[!-~]{1,1024}", value) and not re.match(r"[a-z]+://[^/]*@", value)
            if shown and not any(secret in value for secret in self._secrets):
                reference[name] = value
        return reference


def _encode(value: str) -> str:
    return quote(value, safe="")


def read_refusal(answer: Answer, *, now: float) -> DestinationError:
    """What an answer that is no success means (RFC 9110, section 15). `now` is Unix seconds."""
    status = answer.status
    said = f"the endpoint answered {status}{_words(answer)}"
    retry_after_s = parse_retry_after(answer.headers.get("Retry-After"), now=now)
    if status < 400:
        return DestinationError(
            ErrorCode.DESTINATION_REFUSED, f"{said}; redirects are not followed: set url to where the objects are to go"
        )
    if status == 429:
        return DestinationError(
            ErrorCode.RATE_LIMITED,
            said,
            retry_after_s=max(retry_after_s or 0.0, RATE_LIMITED_S),
            counts=False,
            pauses_destination=True,
        )
    if status in {401, 407}:
        return DestinationError(
            ErrorCode.UNAUTHORIZED,
            f"{said}; its credentials are not valid: set new ones in headers and restart",
            retry_after_s=UNAUTHORIZED_PAUSE_S,
            counts=False,
            pauses_destination=True,
        )
    if status in {408, 421, 423, 425} or status >= 500:
        return DestinationError(
            ErrorCode.DESTINATION_UNAVAILABLE,
            said,
            retry_after_s=retry_after_s,
            pauses_destination=bool(retry_after_s),
        )
    if status == 413:
        return DestinationError(ErrorCode.TOO_LARGE, f"{said}; raise the endpoint's limit for a request's body")
    return DestinationError(ErrorCode.DESTINATION_REFUSED, said)


def _words(answer: Answer) -> str:
    """The endpoint's own words, where it has any that are not a page."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in {"text/plain", "application/json", "application/problem+json"}:
        return ""
    words = " ".join("".join(c if c.isprintable() else " " for c in answer.body.decode("utf-8", "replace")).split())
    return f": {words[:200]}" if words else ""
