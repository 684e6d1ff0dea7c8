"""One running emulator: it reads each request, applies a waiting fault, and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import nullcontext

import httpx
import trio

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_control import Traffic, answer_control
from streamwarm.sandbox.bot_api_media import Media, fetched, find_media
from streamwarm.sandbox.bot_api_messages import Bot
from streamwarm.sandbox.bot_api_methods import SEND_METHODS, Delivery, Telegram, chat_id_of
from streamwarm.sandbox.bot_api_pictures import MediaUrl, find_cover, photo_of
from streamwarm.sandbox.bot_api_replies import (
    BotApiError,
    Reply,
    migrated,
    success,
    too_large,
    too_many_requests,
)
from streamwarm.sandbox.bot_api_rights import Rights
from streamwarm.sandbox.faults import Fault, FaultKind, FaultPlan
from streamwarm.sandbox.file_ids import Extra, FileKind, read_file_id
from streamwarm.sandbox.form_reader import MAX_TEXT_BYTES, Form, FormReader, form_reader
from streamwarm.sandbox.handoff import fetch_url
from streamwarm.sandbox.http_connection import BadRequestError, HttpConnection, Request

BOT_PATTERN = r"[0-9]{1,18}:[A-Za-z0-9_-]+"

_FORM_OVERHEAD_BYTES = 1024 * 1024
"""How much larger than the largest file a request's declared length may be before it is refused unread."""

_BOT_PATH = re.compile(rf"/bot({BOT_PATTERN})/([A-Za-z]+)/?")
_JSON = "application/json"


class _HangupError(Exception):
    """Raised where a fault closes the connection."""


class BotApiEmulator:
    """A running emulator, with its deliveries, faults and traffic."""

    def __init__(self, telegram: Telegram, client: httpx.AsyncClient, *, latency_s: float) -> None:
        self._latency_s = latency_s
        self._telegram = telegram
        self._client = client
        self._faults = FaultPlan()
        self.traffic = Traffic()
        self.base_url = ""

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """The last `keep` delivered messages with a file, oldest first."""
        return tuple(self._telegram.deliveries)

    @property
    def faults(self) -> Sequence[Fault]:
        """The faults that have not struck yet."""
        return self._faults.waiting

    @property
    def rights(self) -> Rights:
        """What the bots and chats refuse; it may be changed at any time."""
        return self._telegram.rights

    def inject(self, *faults: Fault) -> None:
        """Let faults strike the next requests, in this order. Raises `ValueError` if too many wait."""
        for fault in faults:
            self._faults.add(fault)

    def clear_faults(self) -> None:
        self._faults.clear()

    def digest_of(self, file_id: str) -> str:
        """Return the SHA-256 (hex) of the bytes delivered under this id. Raises `KeyError` if it is no bot's id."""
        for token in self._telegram.bots:
            if file := read_file_id(file_id, token=token):
                return file.sha256
        raise KeyError(file_id)

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer one connection's requests until it ends. Whatever the peer does, nothing is raised."""
        http = HttpConnection(stream)
        async with stream:
            try:
                await self._serve_requests(http)
            except (_HangupError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _serve_requests(self, http: HttpConnection) -> None:
        try:
            while (request := await http.next_request()) is not None:
                self.traffic.requests += 1
                await self._serve_request(http, request)
        except BadRequestError:
            await _refuse(http, BotApiError(400, "Bad Request"))

    async def _serve_request(self, http: HttpConnection, request: Request) -> None:
        if request.method not in ("GET", "POST", "DELETE"):
            await http.refuse(405, b"", _JSON)
            return
        try:
            if request.path.startswith("/sandbox/"):
                body = await _read_small_body(http)
                reply = answer_control(request, body, self._telegram, self._faults, self.traffic)
                await http.respond(reply.status, _encoded(reply), _JSON)
            else:
                await self._serve_bot(http, request)
        except BotApiError as refusal:
            await _refuse(http, refusal)

    async def _serve_bot(self, http: HttpConnection, request: Request) -> None:
        found = _BOT_PATH.fullmatch(request.path)
        if found is None:
            raise BotApiError(404, "Not Found")
        bot = self._telegram.bots.get(found[1])
        if bot is None:
            raise BotApiError(401, "Unauthorized")
        method = found[2].lower()
        max_bytes = self._telegram.max_upload_bytes
        fault = self._faults.take(method, bot.id, None, of_upload=True)
        if fault is None and (request.body_bytes or 0) > max_bytes + _FORM_OVERHEAD_BYTES:
            raise too_large()
        form = await self._read_form(http, request, max_file_bytes=max_bytes, fault=fault)
        await trio.sleep(self._latency_s)
        await self._answer(http, bot, method, form)

    async def _read_form(
        self, http: HttpConnection, request: Request, *, max_file_bytes: int, fault: Fault | None = None
    ) -> Form:
        reader = form_reader(request.content_type, request.query, max_file_bytes=max_file_bytes)
        with self.traffic.upload() if request.is_upload else nullcontext():
            await self._read_body(http, reader, fault)
        return reader.finish()

    async def _read_body(self, http: HttpConnection, reader: FormReader, fault: Fault | None) -> None:
        received = 0
        ended = False
        while not ended:
            if fault is not None and received >= fault.at_byte:
                await self._strike_upload(http, fault)
                fault = None
            piece = await http.next_piece()
            ended = not piece
            received += len(piece)
            self.traffic.upload_bytes += len(piece)
            reader.feed(piece)
        if fault is not None:
            await self._strike_upload(http, fault)

    async def _strike_upload(self, http: HttpConnection, fault: Fault) -> None:
        self.traffic.faults += 1
        if fault.fault is FaultKind.REFUSE_UPLOAD:
            refusal = BotApiError(fault.status, fault.description)
            await http.refuse(fault.status, _encoded(refusal.reply), _JSON)
            await trio.sleep(fault.seconds)
            await http.linger()
            raise _HangupError
        await trio.sleep(fault.seconds)
        if fault.fault is FaultKind.CLOSE_UPLOAD:
            raise _HangupError

    async def _answer(self, http: HttpConnection, bot: Bot, method: str, form: Form) -> None:
        fault = self._faults.take(method, bot.id, chat_id_of(form.fields), of_upload=False)
        if fault is not None:
            self.traffic.faults += 1
            if fault.fault is FaultKind.RAW_ANSWER and not fault.delivers:
                await _send_raw(http, fault)
                return
        try:
            reply = await self._carry_out(bot, method, form, fault)
        except BotApiError as refusal:
            await http.respond(refusal.status, _encoded(refusal.reply), _JSON)
            return
        await _send_answer(http, reply, fault)

    async def _carry_out(self, bot: Bot, method: str, form: Form, fault: Fault | None) -> Reply:
        self._telegram.rights.check_bot(bot.id, method)
        if fault is not None:
            _raise_refusal(fault)
        kind = SEND_METHODS.get(method)
        if kind is None:
            return success(self._telegram.call(bot, method, form))
        await trio.sleep(self._telegram.equal_size_delay_s(bot, form))
        self._telegram.check_send(bot, kind, form)
        media = await self._find_media(bot, kind, form)
        returned_as = fault.kind if fault is not None and fault.fault is FaultKind.RETURNED_AS else None
        message = self._telegram.send_media(bot, method, media, form.fields, returned_as=returned_as)
        return success(message)

    async def _find_media(self, bot: Bot, kind: FileKind, form: Form) -> Media:
        """Return what a request sends, fetched if it names an address. Raises `BotApiError`."""
        strict_images = self._telegram.strict_images
        media = find_media(bot, kind, form, strict_images=strict_images)
        if isinstance(media, MediaUrl):
            answer = await fetch_url(self._client, media.url, kind)
            media = fetched(kind, answer, strict_images=strict_images)
        if kind is not Kind.VIDEO:
            return media
        cover = find_cover(bot, form, strict_images=strict_images)
        if isinstance(cover, MediaUrl):
            answer = await fetch_url(self._client, cover.url, Kind.PHOTO)
            cover = photo_of(answer, strict_images=strict_images)
        return media.with_cover(cover)


def _raise_refusal(fault: Fault) -> None:
    """Raise the refusal of a fault that answers instead of carrying the request out, if it is such a fault."""
    match fault.fault:
        case FaultKind.RATE_LIMITED:
            raise too_many_requests(fault.retry_after)
        case FaultKind.REFUSED:
            raise BotApiError(fault.status, fault.description)
        case FaultKind.MIGRATED:
            raise migrated(fault.migrate_to_chat_id)
        case _:
            return


async def _send_answer(http: HttpConnection, reply: Reply, fault: Fault | None) -> None:
    """Answer a request that was carried out, as the fault requires."""
    if fault is None:
        await http.respond(reply.status, _encoded(reply), _JSON)
        return
    await trio.sleep(fault.seconds)
    match fault.fault:
        case FaultKind.RAW_ANSWER:
            await _send_raw(http, fault)
        case FaultKind.NO_FILE:
            await http.respond(reply.status, _encoded(_without_file(reply)), _JSON)
        case FaultKind.NO_ANSWER:
            raise _HangupError
        case FaultKind.CUT_ANSWER:
            body = _encoded(reply)
            await http.respond(reply.status, body, _JSON, sent_bytes=len(body) // 2)
            raise _HangupError
        case _:
            await http.respond(reply.status, _encoded(reply), _JSON)
    if fault.fault is FaultKind.CLOSE_AFTER_ANSWER:
        raise _HangupError


async def _read_small_body(http: HttpConnection) -> bytes:
    body = bytearray()
    while piece := await http.next_piece():
        body += piece
        if len(body) > MAX_TEXT_BYTES:
            raise too_large()
    return bytes(body)


async def _send_raw(http: HttpConnection, fault: Fault) -> None:
    await http.respond(fault.status, fault.body.encode("utf-8", "replace"), fault.content_type)


async def _refuse(http: HttpConnection, refusal: BotApiError) -> None:
    await http.refuse(refusal.status, _encoded(refusal.reply), _JSON)
    await http.linger()


def _without_file(reply: Reply) -> Reply:
    result = {name: value for name, value in reply.payload["result"].items() if name not in {*Kind, Extra.STICKER}}
    return success(result)


def _encoded(reply: Reply) -> bytes:
    return json.dumps(reply.payload, separators=(",", ":")).encode("ascii")
