"""Identifiers that describe themselves: a `file_id` holds what the emulator must know to send the file again.

So nothing has to be remembered per file, an id stays valid after a restart of the sandbox, and a test can read from the
id which bytes were delivered. As with Telegram, a `file_id` works for one bot (it is signed with the bot's token) and
one kind only, while `file_unique_id` is the same for every bot.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from enum import StrEnum

from attrs import evolve, frozen

from streamwarm.model import Kind


class Extra(StrEnum):
    """The kinds that nobody sends by a job, but that Telegram makes of files."""

    STICKER = "sticker"
    THUMBNAIL = "thumbnail"


FileKind = Kind | Extra

_LAYOUT = struct.Struct(">BBQ32sQHHIHHI")
_SIGNATURE_BYTES = 4
_KINDS: tuple[FileKind, ...] = (*Kind, *Extra)

BEST_SIZE = 0
"""The `size_index` of a photo's largest version, and of every other file."""

THUMBNAIL_SIZE = 100
"""The `size_index` of a thumbnail: above those of a photo's versions."""


@frozen
class Thumbnail:
    """A small picture beside a file, in pixels and bytes. All are 0 if it has none."""

    width: int = 0
    height: int = 0
    bytes: int = 0


NO_THUMBNAIL = Thumbnail()


@frozen
class StoredFile:
    """A file that Telegram has. `width` and `height` are in pixels; they and `duration_s` are 0 if the kind has
    none."""

    kind: FileKind
    sha256: str
    bytes: int
    width: int = 0
    height: int = 0
    duration_s: int = 0
    size_index: int = BEST_SIZE
    thumbnail: Thumbnail = NO_THUMBNAIL

    @property
    def unique_id(self) -> str:
        """15 characters, as Telegram's have: the same for the same content, kind and size, whichever bot sent it."""
        text = f"{self.kind}:{self.sha256}:{self.size_index}"
        return _encode(hashlib.sha256(text.encode()).digest()[:11])

    @property
    def thumbnail_file(self) -> StoredFile | None:
        """The thumbnail as a file of its own, or None if there is none. Telegram lets nobody send it."""
        small = self.thumbnail
        if not small.bytes:
            return None
        size = (small.bytes, small.width, small.height)
        return StoredFile(Extra.THUMBNAIL, self.sha256, *size, size_index=THUMBNAIL_SIZE)

    def scaled(self, size_index: int, longest_side: int) -> StoredFile:
        """Return the version of a photo whose longest side has at most `longest_side` pixels."""
        scale = min(1.0, longest_side / max(self.width, self.height))
        return evolve(
            self,
            size_index=size_index,
            width=max(1, round(self.width * scale)),
            height=max(1, round(self.height * scale)),
            bytes=max(1, round(self.bytes * scale * scale)),
        )


def file_id(file: StoredFile, *, bot_id: int, token: str) -> str:
    """Return the id with which this bot may send the file again."""
    packed = _LAYOUT.pack(
        _KINDS.index(file.kind),
        file.size_index,
        bot_id,
        bytes.fromhex(file.sha256),
        file.bytes,
        file.width,
        file.height,
        file.duration_s,
        file.thumbnail.width,
        file.thumbnail.height,
        file.thumbnail.bytes,
    )
    return _encode(packed + _signature(packed, token))


def read_file_id(text: str, *, token: str) -> StoredFile | None:
    """Return the file that an id names, or None if it is another bot's id or not an id."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(packed) != _LAYOUT.size + _SIGNATURE_BYTES:
        return None
    body = packed[: _LAYOUT.size]
    if not hmac.compare_digest(packed[_LAYOUT.size :], _signature(body, token)):
        return None
    kind, size_index, _, digest, size, width, height, duration_s, *small = _LAYOUT.unpack(body)
    shape = (size, width, height, duration_s, size_index)
    return StoredFile(_KINDS[kind], digest.hex(), *shape, Thumbnail(*small))


def _signature(packed: bytes, token: str) -> bytes:
    return hmac.digest(token.encode(), packed, "sha256")[:_SIGNATURE_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
