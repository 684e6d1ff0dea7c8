"""Fetches media that a request names by its address, as Telegram does
(https://core.telegram.org/bots/api#sending-files).

It is a sandbox: addresses on loopback are fetched like any other, which Telegram's own servers never do.
"""

from __future__ import annotations

from contextlib import aclosing
from urllib.parse import unquote, urlsplit

import httpcore2

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_methods import MIB
from streamwarm.sandbox.bot_api_replies import BotApiError, bad_request
from streamwarm.sandbox.form_reader import FileDigest, UploadedFile

MAX_PHOTO_URL_BYTES = 5 * MIB
MAX_URL_BYTES = 20 * MIB
MAX_VOICE_URL_BYTES = MIB
"""A longer voice message comes back as a file."""

_TIMEOUT_S = 20.0

_CONTENT_TYPES: dict[Kind, tuple[str, ...]] = {
    Kind.PHOTO: ("image/",),
    Kind.VIDEO: ("video/",),
    Kind.AUDIO: ("audio/",),
    Kind.DOCUMENT: ("image/gif", "application/pdf", "application/zip"),
    Kind.ANIMATION: ("image/gif", "video/mp4"),
    Kind.VOICE: ("audio/ogg",),
    Kind.VIDEO_NOTE: (),
}
"""How the content type must begin; a video note cannot be sent by address at all."""


async def fetch_url(pool: httpcore2.AsyncConnectionPool, url: str, kind: Kind) -> UploadedFile:
    """GET the address, to its end, holding none of it.

    Raises `BotApiError` in Telegram's wording: for an address that does not answer 200 or has too much,
    and for content of a type that this kind is not sent with. The wording never holds the address.
    """
    max_bytes = MAX_PHOTO_URL_BYTES if kind is Kind.PHOTO else MAX_URL_BYTES
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), _TIMEOUT_S)
    try:
        async with pool.stream("GET", url.encode("ascii"), extensions={"timeout": timeout}) as response:
            if response.status != 200:
                raise _unreachable()
            content_type = _header(response, b"content-type").partition(";")[0].strip().lower()
            if not content_type.startswith(_CONTENT_TYPES[kind]):
                raise bad_request("wrong type of the web page content")
            return await _digest(response, _file_name(url), content_type, max_bytes)
    except (
        httpcore2.NetworkError,
        httpcore2.TimeoutException,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
        ValueError,
    ) as error:
        raise _unreachable() from error


async def _digest(response: httpcore2.Response, file_name: str, content_type: str, max_bytes: int) -> UploadedFile:
    digest = FileDigest(file_name, content_type, max_bytes=max_bytes)
    try:
        async with aclosing(response.aiter_stream()) as pieces:
            async for piece in pieces:
                digest.update(piece)
    except BotApiError as error:
        raise _unreachable() from error
    return digest.result()


def kind_fetched(kind: Kind, fetched: UploadedFile) -> Kind:
    """What Telegram makes of a file that it has fetched to be sent as `kind`."""
    return Kind.DOCUMENT if kind is Kind.VOICE and fetched.bytes > MAX_VOICE_URL_BYTES else kind


def _unreachable() -> BotApiError:
    return bad_request("failed to get HTTP URL content")


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _header(response: httpcore2.Response, name: bytes) -> str:
    found = [value for key, value in response.headers if key.lower() == name]
    return found[0].decode("latin-1") if found else ""
