"""The Telegram destination: one streamed multipart upload of exact length, and the `file_id` in its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Literal
from urllib.parse import urlencode

import httpx
import trio
from attrs import define, field

from streamwarm.errors import DestinationError, ErrorCode, LaneMoved, StaleConnection
from streamwarm.fetch.source import SignedUrl
from streamwarm.model import Job, JsonObject, NewJob
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.send.destination import Body, Media, NotFetched
from streamwarm.send.exchange import Answer, Outgoing, broken_answer, exchange, stored_headers
from streamwarm.send.telegram import bot_api, chats, handoff
from streamwarm.send.telegram.multipart import Frame, frame_file
from streamwarm.send.telegram.preflight import PhotoCheck, RecentJobs, check_size
from streamwarm.send.telegram.rates import telegram_rates, unlimited_rates
from streamwarm.send.telegram.verify import TOO_LARGE, is_checkable, read_get_file
from streamwarm.send.verifying import Verified
from streamwarm.settings.telegram import TelegramSettings

ANSWER_TIMEOUT_S = 510.0
"""How long the answer may take. A local Bot API server answers only once Telegram has the file. After 500 s it closes
the connection, though the message is still sent. A shorter time-out would turn a success into `delivery_unknown`."""

DELETE_TIMEOUT_S = 5.0
"""How long deleting a message may keep a worker busy."""


class TelegramDestination:
    """A bot. Its warm-up chats are its lanes."""

    gives_file_ids: Literal[True] = True

    def __init__(
        self,
        name: str,
        settings: TelegramSettings,
        client: httpx.AsyncClient,
        *,
        make_boundary: Callable[[], str],
        redact: Redactor = knows_no_secrets,
    ) -> None:
        self.name = name
        self.on_unknown: Literal["retry", "hold"] = "hold" if settings.on_unknown == "hold" else "retry"
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        self._settings = settings
        self._client = client
        # Parsed once: for httpx, a URL costs as much as the rest of a request.
        self._urls = {method.name: httpx.URL(self._url(method.name)) for method in bot_api.METHODS.values()}
        self.rates = (
            telegram_rates(settings.chats, local_server=settings.local_server)
            if settings.rates == "telegram"
            else unlimited_rates(settings.chats)
        )
        self._photos = PhotoCheck()
        self._handed_off = RecentJobs()
        self._make_boundary = make_boundary
        self._redact = redact

    def check_job(self, job: NewJob) -> None:
        bot_api.check_options(job.options)

    def check_media(self, media: Media) -> None:
        check_size(media, local_server=self._settings.local_server)

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        kind = await self._photos.kind_to_send(media, body)
        method, lane = bot_api.METHODS[kind], self._lane(media)
        frame = frame_file(
            bot_api.form_fields(kind, lane, media.options),
            file_field=method.file_field,
            file_name=bot_api.file_name(media.r2_key, kind),
            file_type=stored_headers(media)["Content-Type"],
            boundary=self._make_boundary(),
        )
        headers = {
            "Content-Type": frame.content_type,
            "Content-Length": str(frame.content_length(media.bytes)),
        }
        upload = _Upload(frame, body)
        async with aclosing(upload.pieces()) as content:
            request = self._client.build_request("POST", self._urls[method.name], content=content, headers=headers)
            try:
                return await self._reference(request, upload, lane)
            except DestinationError as refusal:
                raise self._photos.after_refusal(refusal, media, kind) from None

    def may_fetch(self, job: Job) -> bool:
        if self._settings.handoff == "never" or job.id in self._handed_off or not handoff.can_be_fetched(job.kind):
            return False
        return job.sha256 is None or self._settings.handoff_unverified

    async def hand_off(
        self, media: Media, address: SignedUrl, depart: Callable[[], Awaitable[None]]
    ) -> JsonObject | NotFetched:
        if not handoff.is_fetchable(media):
            return NotFetched(f"Telegram fetches no {media.kind} of {media.bytes} bytes and type {media.content_type}")
        if not handoff.is_within_reach(address.host, asked_at=httpx.URL(self._settings.base_url).host):
            return NotFetched(f"{address.host} is not public, and Telegram fetches from public hosts only")
        method, lane = bot_api.METHODS[media.kind], self._lane(media)
        fields = [*bot_api.form_fields(media.kind, lane, media.options), (method.file_field, address.url)]
        form = _Form(urlencode(fields).encode())
        await depart()
        # Only once per job: however this ends, cancellation included, the next attempt streams.
        self._handed_off.add(media.job_id)
        async with aclosing(form.pieces()) as content:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form.content))}
            request = self._client.build_request("POST", self._urls[method.name], content=content, headers=headers)
            try:
                reference = await self._reference(request, form, lane)
            except DestinationError as refusal:
                return self._after_handoff(refusal, media, address)
        if handoff.quotes_address(str(reference), address.url):
            raise DestinationError(
                ErrorCode.DESTINATION_UNAVAILABLE,
                "Telegram answered the hand-off with the address instead of a file_id",
            )
        return reference

    def _after_handoff(self, refusal: DestinationError, media: Media, address: SignedUrl) -> NotFetched:
        """Return `NotFetched` if streaming may succeed; otherwise raise the refusal, without the address."""
        if handoff.quotes_address(refusal.message, address.url):
            refusal.reword("Telegram's answer to the hand-off quotes the signed address, so it is not shown")
        if refusal.code is ErrorCode.BAD_PHOTO:
            self._photos.refused(media)
        if refusal.code in handoff.STREAM_INSTEAD:
            return NotFetched(refusal.message)
        if isinstance(refusal, StaleConnection) or not refusal.counts:
            self._handed_off.discard(media.job_id)  # the refusal was not about the object
        raise refusal

    def _lane(self, media: Media) -> int | str:
        return media.lane or self._settings.chats[0]

    async def _reference(self, request: httpx.Request, outgoing: Outgoing, lane: int | str) -> JsonObject:
        """Send the request and return the reference in its answer. Raises `DestinationError`."""
        answer = await exchange(self._client, request, outgoing, max_bytes=bot_api.REPLY_BYTES)
        if not answer.whole and answer.status < 400:
            raise broken_answer(outgoing)
        retry_after = answer.headers.get("Retry-After")
        try:
            reply = bot_api.read_reply(answer.status, answer.body, retry_after=retry_after, redact=self._redact)
        except LaneMoved as upgraded:
            upgraded.address = chats.moved(lane, upgraded.address)
            raise
        return reply.as_result()

    async def tidy_up(self, reference: JsonObject) -> None:
        """Delete the message if the settings say so. The `file_id` stays valid."""
        if not self._settings.delete_message:
            return
        message = {name: reference[name] for name in ("chat_id", "message_id")}
        with trio.move_on_after(DELETE_TIMEOUT_S), suppress(httpx.HTTPError):
            await self._client.post(self._url("deleteMessage"), json=message)

    async def verify(self, result: JsonObject) -> Verified:
        if not is_checkable(result):
            return TOO_LARGE
        form = _Form(urlencode({"file_id": result.get("file_id", "")}).encode())
        answer = await self._ask("getFile", form)
        return read_get_file(answer.status, answer.body, answer.headers.get("Retry-After"), self._redact)

    async def _ask(self, method: str, form: _Form) -> Answer:
        """Send a form of texts. Raises `DestinationError`."""
        async with aclosing(form.pieces()) as content:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(form.content))}
            request = self._client.build_request("POST", self._url(method), content=content, headers=headers)
            return await exchange(self._client, request, form, max_bytes=bot_api.REPLY_BYTES)

    def _url(self, method: str) -> str:
        return f"{self._settings.base_url.rstrip('/')}/bot{self._settings.token}/{method}"


@define
class _Upload:
    """A form with a file as it is sent.

    `upload_sent` is True once the network has taken all of it, the closing boundary included. Until then no server can
    have made a message of it.
    """

    frame: Frame
    body: Body
    upload_sent: bool = False

    @property
    def bytes_out(self) -> int:
        return self.body.bytes_out

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield self.frame.head
        async with aclosing(self.body.pieces()) as pieces:
            async for piece in pieces:
                yield piece
        yield self.frame.tail
        self.upload_sent = True


@define
class _Form:
    """A form of texts as it is sent; one of them is an address."""

    content: bytes = field(repr=False)
    upload_sent: bool = False
    bytes_out: int = 0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield self.content
        self.upload_sent = True
