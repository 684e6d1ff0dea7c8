"""The HTTP destination: one streamed `PUT` or `POST` of exact length to a URL that is made from the job."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Literal
from urllib.parse import quote as percent_encode
from urllib.parse import urlsplit

import httpx

from streamwarm.errors import DestinationError, ErrorCode, InvalidJob, InvalidOptions
from streamwarm.model import JsonObject, NewJob
from streamwarm.redact import Redactor, knows_no_secrets, quote
from streamwarm.retry import parse_retry_after
from streamwarm.send.destination import MAX_REFERENCE_CHARS, UNAUTHORIZED_PAUSE_S, Body, Media
from streamwarm.send.endpoint_health import EndpointHealth
from streamwarm.send.exchange import Answer, NoUpload, Upload, exchange, stored_headers
from streamwarm.send.template import Template
from streamwarm.send.verifying import Verified, Works
from streamwarm.settings.http import HttpSettings

ANSWER_TIMEOUT_S = 300.0
"""How long the answer may take, for an endpoint that stores the object before it answers. One that needs longer can
answer 202."""

ANSWER_BYTES = 64 * 1024
"""How much of an answer's body is read, to report a refusal's message. After a longer one the connection is closed."""

RATE_LIMITED_S = 1.0
"""The cooldown after a 429 without a Retry-After."""


OF_THE_OBJECT = frozenset({414, 415, 422})
"""Refusals that name the object: its key, its type or its content (RFC 9110, 15.5). Any other may be the endpoint's."""


class HttpDestination:
    """An endpoint that takes each object in one request.

    A repeated `PUT` replaces what the first one stored, so a lost answer costs only another upload. A repeated `POST`
    may store a second copy, which `possible_duplicate` reports.
    """

    on_unknown: Literal["retry", "hold"] = "retry"

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        client: httpx.AsyncClient,
        *,
        now: Callable[[], float],
        redact: Redactor = knows_no_secrets,
    ) -> None:
        self.name = name
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        self._method = settings.method
        self._headers = {name: str(value) for name, value in settings.headers.items()}
        self._redact = redact.also(*settings.secrets)
        parts = urlsplit(settings.url)
        self._origin = httpx.URL(f"{parts.scheme}://{parts.netloc}")
        target = settings.url.partition("://")[2][len(parts.netloc) :]
        # A slash is encoded too: the key stays one segment and cannot leave the path it is put into.
        self._target = Template.parse(target if target.startswith("/") else f"/{target}", _encode)
        self._client = client
        self._now = now
        self._health = EndpointHealth()

    def check_job(self, job: NewJob) -> None:
        for option in job.options:
            raise InvalidOptions(f"options.{option[:64]}: an HTTP destination has no options")
        self._target.check(job)
        if self._is_dot_segment(job.r2_key):
            raise InvalidJob("r2_key: . and .. mean a folder in a URL's path, so no URL can name such an object")

    def check_media(self, media: Media) -> None:
        """Refuse what `check_job` refuses, for jobs older than the configuration. There is no size limit."""
        self._target.fill(media)
        if self._is_dot_segment(media.r2_key):
            raise DestinationError(
                ErrorCode.DESTINATION_REFUSED,
                "no URL can name an object . or ..; they mean a folder in its path",
            )

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        headers = httpx.Headers({**stored_headers(media), "Content-Length": str(media.bytes)})
        headers.update(self._headers)  # `httpx.Headers` compares names without regard to case
        upload = Upload(body)
        async with aclosing(upload.pieces()) as content:
            request = self._client.build_request(
                self._method,
                self._origin,
                content=content,
                headers=headers,
                # A URL parser would decode and normalize what is encoded here.
                extensions={"target": self._target.fill(media).encode("ascii")},
            )
            answer = await exchange(self._client, request, upload, max_bytes=ANSWER_BYTES)
        if not 200 <= answer.status < 300:
            refusal = read_refusal(answer, now=self._now(), redact=self._redact)
            if refusal.code is ErrorCode.DESTINATION_REFUSED and answer.status not in OF_THE_OBJECT:
                refusal = self._health.judge(media.job_id, refusal, now=self._now())
            raise refusal
        self._health.stored(media.job_id)
        return self._reference(answer)

    async def verify(self, result: JsonObject) -> Verified:
        """HEAD of the record's location, if that is at the endpoint's own origin: its credentials go nowhere else."""
        target = self._target_at(result.get("location"))
        if target is None:
            return Verified(Works.UNPROVEN, "its answer named no location at the endpoint itself to ask for")
        request = self._client.build_request(
            "HEAD", self._origin, headers=self._headers, extensions={"target": target.encode("ascii")}
        )
        answer = await exchange(self._client, request, NoUpload(), max_bytes=ANSWER_BYTES)
        if answer.status in {404, 410}:
            return Verified(Works.BAD, f"the endpoint answered {answer.status} for its location")
        if answer.status in {405, 501} or 300 <= answer.status < 400:
            return Verified(Works.UNPROVEN, f"the endpoint answered {answer.status} to a HEAD of its location")
        if not 200 <= answer.status < 300:
            raise read_refusal(answer, now=self._now(), redact=self._redact)
        return _same_etag(result.get("etag"), answer.headers.get("ETag"))

    def _target_at(self, location: object) -> str | None:
        """The path to ask for, None if `location` is not at this endpoint."""
        if not isinstance(location, str) or not re.fullmatch(r"[!-~]+", location):
            return None
        try:
            parts, own = urlsplit(location), urlsplit(str(self._origin))
            is_own = (parts.scheme, parts.netloc) in {("", ""), (own.scheme, own.netloc)}
        except ValueError:
            return None
        return parts.path if is_own and parts.path.startswith("/") else None

    def _is_dot_segment(self, r2_key: str) -> bool:
        path = self._target.text.partition("?")[0]
        return any(segment.replace("{r2_key}", r2_key) in {".", ".."} for segment in path.split("/") if "{" in segment)

    def _reference(self, answer: Answer) -> JsonObject:
        """Return `status`, and `etag` and `location` if the answer has them and they hold no secret."""
        reference: dict[str, Any] = {"status": answer.status}
        etag, location = answer.headers.get("ETag", ""), answer.headers.get("Location", "")
        # A query may hold a signature, which must not get into the record.
        for name, value in (("etag", etag), ("location", re.split(r"[?#]", location)[0])):
            shown = (
                len(value) <= MAX_REFERENCE_CHARS
                and re.fullmatch(r"[!-~]+", value)
                and not re.match(r"[a-z]+://[^/]*@", value)
            )
            if shown and not self._redact.carries(value):
                reference[name] = value
        return reference


def _same_etag(recorded: object, found: str | None) -> Verified:
    if recorded and found and _unquoted(str(recorded)) != _unquoted(found):
        return Verified(Works.BAD, "the endpoint has another object there; its ETag differs")
    return Verified(Works.GOOD)


def _unquoted(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _encode(value: str) -> str:
    return percent_encode(value, safe="")


def read_refusal(answer: Answer, *, now: float, redact: Callable[[str], str] = knows_no_secrets) -> DestinationError:
    """Return the error for an answer other than a success (RFC 9110, section 15). `now` is Unix seconds. `redact` masks
    the secrets in the endpoint's words."""
    status = answer.status
    said = f"the endpoint answered {status}{_words(answer, redact)}"
    retry_after_s = parse_retry_after(answer.headers.get("Retry-After"), now=now)
    if status < 400:
        return DestinationError(
            ErrorCode.DESTINATION_REFUSED, f"{said}; redirects are not followed: set url to the final address"
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


def _words(answer: Answer, redact: Callable[[str], str]) -> str:
    """The endpoint's own message, unless it is a page: text or JSON."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type not in {"text/plain", "application/json", "application/problem+json"}:
        return ""
    words = quote(answer.body.decode("utf-8", "replace"), redact)
    return f": {words}" if words else ""
