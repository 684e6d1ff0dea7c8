"""The Telegram destination: one streamed multipart upload of exact length, and the `file_id` in its answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Literal
from urllib.parse import urlencode

import httpx
import trio
from attrs import define, evolve, field

from streamwarm.errors import DestinationError, ErrorCode, LaneMoved, StaleConnection
from streamwarm.fetch.source import SignedUrl
from streamwarm.model import Job, JsonObject, Kind, NewJob
from streamwarm.redact import Redactor, knows_no_secrets
from streamwarm.send.attachment import Attachment
from streamwarm.send.destination import Body, FactsWanted, Media, NotFetched
from streamwarm.send.exchange import Answer, Outgoing, broken_answer, exchange, stored_headers
from streamwarm.send.telegram import bot_api, chats, handoff, names
from streamwarm.send.telegram.answered import warnings_of
from streamwarm.send.telegram.attached import check_attached, name_cover
from streamwarm.send.telegram.multipart import AttachedFile, Frame, frame_file
from streamwarm.send.telegram.options import facts_wanted, lost_with_an_address, merged_options
from streamwarm.send.telegram.preflight import PhotoCheck, RecentJobs, check_size
from streamwarm.send.telegram.rates import telegram_rates, unlimited_rates
from streamwarm.send.telegram.verify import TOO_LARGE, is_checkable, read_get_file
from streamwarm.send.verifying import Verified
from streamwarm.settings.telegram import TelegramSettings
from streamwarm.settings.telegram_options import check_options

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
        check_options(job.options)

    def check_media(self, media: Media) -> None:
        check_size(self._with_options(media), local_server=self._settings.local_server)

    def attachments(self, job: Job) -> Sequence[Attachment]:
        found = []
        for name in bot_api.METHODS[job.kind].files:
            whose, options = ("options", job.options) if name in job.options else ("defaults", self._settings.defaults)
            if name in options:
                found.append(Attachment(name, options[name], f"{whose}.{name}"))
        return found

    def facts_wanted(self, media: Media) -> FactsWanted:
        if self._settings.probe == "off":
            return FactsWanted.NONE
        return facts_wanted(media.kind, media.bytes, self._with_options(media).options)

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        media = self._with_options(media)
        await check_attached(media)
        kind = await self._photos.kind_to_send(media, body)
        method = bot_api.METHODS[kind]
        frame = self._frame(media, kind)
        headers = {
            "Content-Type": frame.content_type,
            "Content-Length": str(frame.content_length(media.bytes)),
        }
        upload = _Upload(frame, media, body)
        async with aclosing(upload.pieces()) as content:
            request = self._client.build_request("POST", self._urls[method.name], content=content, headers=headers)
            try:
                return await self._reference(request, upload, media)
            except DestinationError as refusal:
                name_cover(refusal, media)
                raise self._photos.after_refusal(refusal, media, kind) from None

    def _frame(self, media: Media, kind: Kind) -> Frame:
        return frame_file(
            bot_api.form_fields(kind, self._lane(media), media.options),
            file_field=bot_api.METHODS[kind].file_field,
            file_name=_file_name(media, kind),
            file_type=stored_headers(media)["Content-Type"],
            boundary=self._make_boundary(),
            attached=[AttachedFile(one.attachment.name, one.size_bytes) for one in media.attached],
        )

    def _with_options(self, media: Media) -> Media:
        """Return the object with all options that it is sent with."""
        return evolve(media, options=merged_options(media.options, self._settings.defaults, media.facts))

    def may_fetch(self, job: Job) -> bool:
        if self._settings.handoff == "never" or job.id in self._handed_off or not handoff.can_be_fetched(job.kind):
            return False
        if lost_with_an_address(job.kind, merged_options(job.options, self._settings.defaults, None)):
            return False
        return job.sha256 is None or self._settings.handoff_unverified

    async def hand_off(
        self, media: Media, address: SignedUrl, depart: Callable[[], Awaitable[None]]
    ) -> JsonObject | NotFetched:
        media = self._with_options(media)
        if not handoff.is_fetchable(media):
            return NotFetched(f"Telegram fetches no {media.kind} of {media.bytes} bytes and type {media.content_type}")
        if names.is_lost_with_an_address(media.r2_key, media.kind, _file_name(media, media.kind)):
            return NotFetched("Telegram takes a file's name from its address, and this one has another or an extension")
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
                reference = await self._reference(request, form, media)
            except DestinationError as refusal:
                return self._after_handoff(refusal, media, address)
        return handoff.without_address(reference, address.url)

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

    async def _reference(self, request: httpx.Request, outgoing: Outgoing, media: Media) -> JsonObject:
        """Send the request and return the reference in its answer, with its warnings. Raises `DestinationError`."""
        answer = await exchange(self._client, request, outgoing, max_bytes=bot_api.REPLY_BYTES)
        if not answer.whole and answer.status < 400:
            raise broken_answer(outgoing)
        retry_after = answer.headers.get("Retry-After")
        try:
            reply = bot_api.read_reply(answer.status, answer.body, retry_after=retry_after, redact=self._redact)
        except LaneMoved as upgraded:
            upgraded.address = chats.moved(self._lane(media), upgraded.address)
            raise
        return {**reply.as_result(), "warnings": warnings_of(media, reply.kind, reply.media)}

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


def _file_name(media: Media, kind: Kind) -> str:
    named = media.options.get("file_name")
    return names.file_name(media.r2_key, kind, content_type=media.content_type, named=named)


@define
class _Upload:
    """A form with a file as it is sent, after the pictures that go with it.

    `upload_sent` is True once the network has taken all of it, the closing boundary included. Until then no server can
    have made a message of it.
    """

    frame: Frame
    media: Media
    body: Body
    upload_sent: bool = False
    attached_out: int = 0

    @property
    def bytes_out(self) -> int:
        return self.attached_out + self.body.bytes_out

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        for before, one in zip(self.frame.before, self.media.attached, strict=True):
            yield before
            async with aclosing(one.pieces()) as pieces:
                async for piece in pieces:
                    size = len(piece)
                    yield piece
                    self.attached_out += size
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
