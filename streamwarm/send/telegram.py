"""The Telegram destination: one multipart upload with an exact length, streamed, and the `file_id` that comes back."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import httpx
from attrs import Attribute, define, field, frozen
from typed_settings.types import SecretStr

from streamwarm.errors import AttemptError, DestinationError, ErrorCode, StaleConnection
from streamwarm.model import JsonObject, NewJob
from streamwarm.send import bot_api
from streamwarm.send.destination import Body, Media
from streamwarm.send.multipart import Frame, frame_file
from streamwarm.send.preflight import PhotoCheck, check_size
from streamwarm.settings import BadValue, one_of

ANSWER_TIMEOUT_S = 510.0
"""A local Bot API server keeps silent until Telegram has the file, and closes after 500 s while the message is still
sent: whoever gives up before that turns a success into `delivery_unknown`."""

_TOKEN = re.compile(r"[A-Za-z0-9_:-]{3,256}")
_CHAT_NAME = re.compile(r"@[A-Za-z0-9_]{3,64}")


def _check_token(_: object, __: Attribute[Any], value: SecretStr) -> None:
    if not _TOKEN.fullmatch(value):
        raise BadValue("must look like 123456:ABC-DEF, as @BotFather gave it")


def _check_base_url(_: object, __: Attribute[Any], value: str) -> None:
    url = httpx.URL(value) if value.startswith(("http://", "https://")) else None
    if url is None or not url.host or url.userinfo or url.query or url.fragment:
        raise BadValue("must be a plain URL such as https://api.telegram.org, without credentials or a query")


def _check_chats(_: object, __: Attribute[Any], value: tuple[int | str, ...]) -> None:
    if not value:
        raise BadValue("must name at least one warm-up chat")
    for chat in map(str, value):
        if not re.fullmatch(r"-?[0-9]{1,19}", chat) and not _CHAT_NAME.fullmatch(chat):
            raise BadValue("each must be a chat's number, such as -1001234567890, or a public @name")


@frozen(kw_only=True)
class TelegramSettings:
    """`[destinations.<name>]` with `type = "telegram"`."""

    type: str = "telegram"
    token: SecretStr = field(validator=_check_token)
    token_file: Path | None = None
    chats: tuple[int | str, ...] = field(validator=_check_chats)
    base_url: str = field(default="https://api.telegram.org", validator=_check_base_url)
    local_server: bool = False
    on_unknown: str = field(default="retry", validator=one_of("retry", "hold"))


class TelegramDestination:
    """A bot and its warm-up chats, used in turn."""

    def __init__(
        self,
        name: str,
        settings: TelegramSettings,
        client: httpx.AsyncClient,
        *,
        make_boundary: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self.name = name
        self.on_unknown: Literal["retry", "hold"] = "hold" if settings.on_unknown == "hold" else "retry"
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        self._settings = settings
        self._client = client
        self._chats = cycle(settings.chats)
        self._photos = PhotoCheck()
        self._make_boundary = make_boundary

    def check_job(self, job: NewJob) -> None:
        bot_api.check_options(job.options)

    def check_media(self, media: Media) -> None:
        check_size(media, local_server=self._settings.local_server)

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        kind = await self._photos.kind_to_send(media, body)
        method = bot_api.METHODS[kind]
        frame = frame_file(
            bot_api.form_fields(kind, next(self._chats), media.options),
            file_field=method.file_field,
            file_name=bot_api.file_name(media.r2_key, kind),
            file_type=_safe_type(media.content_type),
            boundary=self._make_boundary(),
        )
        headers = {
            "Content-Type": frame.content_type,
            "Content-Length": str(frame.content_length(media.bytes)),
        }
        upload = _Upload(frame, body)
        async with aclosing(upload.pieces()) as content:
            request = self._client.build_request("POST", self._url(method.name), content=content, headers=headers)
            status, answer, retry_after = await self._exchange(request, upload)
        try:
            return bot_api.read_reply(status, answer, retry_after=retry_after).as_result()
        except DestinationError as refusal:
            raise self._photos.after_refusal(refusal, media, kind) from None

    def _url(self, method: str) -> str:
        return f"{self._settings.base_url.rstrip('/')}/bot{self._settings.token}/{method}"

    async def _exchange(self, request: httpx.Request, upload: _Upload) -> tuple[int, bytes, str | None]:
        """Send and read the answer, at most `bot_api.REPLY_BYTES` of it."""
        try:
            response = await self._client.send(request, stream=True)
            try:
                answer = b""
                async for piece in response.aiter_raw():
                    answer += piece
                    if len(answer) > bot_api.REPLY_BYTES:
                        break
            finally:
                await response.aclose()
        except httpx.HTTPError as exc:
            unreceived = bool(request.extensions.get("unreceived"))  # `net/transport.py` tells
            raise _translate(exc, upload, unreceived=unreceived) from None  # the request in it carries the token
        return response.status_code, answer, response.headers.get("Retry-After")


@define
class _Upload:
    """The form on its way out. `sent`: the network has taken all of it, the closing boundary included; before that no
    server can have made a message of it."""

    frame: Frame
    body: Body
    sent: bool = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield self.frame.head
        async with aclosing(self.body.pieces()) as pieces:
            async for piece in pieces:
                yield piece
        yield self.frame.tail
        self.sent = True


def _safe_type(content_type: str | None) -> str:
    """The object's own type where it is a plain one: it was written by whoever filled the bucket."""
    if content_type and re.fullmatch(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+", content_type):
        return content_type
    return "application/octet-stream"


def _translate(exc: httpx.HTTPError, upload: _Upload, *, unreceived: bool) -> AttemptError:
    """Whose fault a broken exchange was. httpx's own texts never quote the URL, but its objects hold it."""
    what, taken_bytes = type(exc).__name__, upload.body.bytes_out
    if unreceived:
        return StaleConnection(f"the connection was closed before a byte of the upload had arrived ({what})")
    if upload.sent:
        return DestinationError(
            ErrorCode.DELIVERY_UNKNOWN,
            f"every byte was sent and the answer was lost ({what}): the file may have been delivered",
        )
    if isinstance(exc, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError) and not taken_bytes:
        return StaleConnection(f"the connection was closed before it took a byte ({what})")
    code = ErrorCode.TIMEOUT if isinstance(exc, httpx.TimeoutException) else ErrorCode.DESTINATION_UNAVAILABLE
    return DestinationError(code, f"the upload broke off after {taken_bytes} bytes ({what})")
