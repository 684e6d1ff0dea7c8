"""The emulator's side of a hand-off: fetches media that a request names by its address, as Telegram does
(https://core.telegram.org/bots/api#sending-files).

Unlike Telegram's own servers, the sandbox also fetches from addresses on loopback.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast
from urllib.parse import unquote, urlsplit

import httpx

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_pictures import MIB
from streamwarm.sandbox.bot_api_replies import BotApiError, bad_request
from streamwarm.sandbox.file_ids import Extra, FileKind
from streamwarm.sandbox.form_reader import FileDigest, UploadedFile

MAX_PHOTO_URL_BYTES = 5 * MIB
MAX_URL_BYTES = 20 * MIB

_TIMEOUT_S = 20.0

_CONTENT_TYPES: dict[FileKind, tuple[str, ...]] = {
    Kind.PHOTO: ("image/",),
    Kind.VIDEO: ("video/",),
    Kind.AUDIO: ("audio/",),
    Kind.DOCUMENT: ("image/gif", "application/pdf", "application/zip"),
    Kind.ANIMATION: ("image/gif", "video/mp4"),
    Kind.VOICE: ("audio/ogg",),
    Kind.VIDEO_NOTE: (),
    Extra.STICKER: ("image/webp",),
}
"""How the content type must begin; a video note cannot be sent by address at all."""


async def fetch_url(client: httpx.AsyncClient, url: str, kind: FileKind) -> UploadedFile:
    """GET the address to its end and digest the bytes, piece by piece.

    Raises `BotApiError` in Telegram's wording if the address does not answer 200, the content is too large, or its
    type cannot be sent as `kind`. The message never contains the address.
    """
    max_bytes = MAX_PHOTO_URL_BYTES if kind is Kind.PHOTO else MAX_URL_BYTES
    try:
        async with client.stream("GET", url, timeout=_TIMEOUT_S, extensions={"target": _target(url)}) as response:
            if response.status_code != 200:
                raise _unreachable()
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if not content_type.startswith(_CONTENT_TYPES[kind]):
                raise bad_request("wrong type of the web page content")
            return await _digest(response, _file_name(url), content_type, max_bytes)
    except (httpx.TransportError, httpx.InvalidURL, ValueError) as error:
        raise _unreachable() from error


async def _digest(response: httpx.Response, file_name: str, content_type: str, max_bytes: int) -> UploadedFile:
    digest = FileDigest(file_name, content_type, max_bytes=max_bytes)
    try:
        async with aclosing(cast(AsyncGenerator[bytes, None], response.aiter_raw())) as pieces:
            async for piece in pieces:
                digest.update(piece)
    except BotApiError as error:
        raise _unreachable() from error
    return digest.result()


def _unreachable() -> BotApiError:
    return bad_request("failed to get HTTP URL content")


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _target(url: str) -> bytes:
    """Path and query as the request wrote them: httpx would normalize them, which breaks a signature.

    Raises `ValueError` unless the address is ASCII.
    """
    parts = urlsplit(url.encode("ascii"))
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
