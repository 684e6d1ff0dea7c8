"""The media of a request: an upload, a `file_id` or an address, and which of them Telegram refuses. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_messages import Bot, MediaDetails
from streamwarm.sandbox.bot_api_replies import bad_request
from streamwarm.sandbox.file_ids import StoredFile, read_file_id
from streamwarm.sandbox.form_reader import Form, UploadedFile
from streamwarm.sandbox.image_header import image_size

MIB = 1024 * 1024
MAX_PHOTO_BYTES = 10 * MIB
MAX_PHOTO_SIDES = 10_000
MAX_PHOTO_RATIO = 20

SILENT_MARKER = "silent"
"""A video whose file name contains this counts as one without sound, which Telegram returns as an animation."""

_TYPE_NAMES = {kind: kind.replace("_", " ").title().replace(" ", "") for kind in Kind}
_MAX_U16 = 0xFFFF
_MAX_U32 = 0xFFFFFFFF


@frozen
class MediaUrl:
    """Media named by an address that Telegram fetches (hand-off). The address may be signed, so it is never shown."""

    url: str = field(repr=False)


@frozen
class Media:
    """The media of a send. `origin` is `upload`, `file_id` or `url`."""

    file: StoredFile
    details: MediaDetails
    origin: str


def find_media(bot: Bot, kind: Kind, form: Form, *, strict_images: bool) -> Media | MediaUrl:
    """Return the media of a send: an upload (direct or `attach://`), a `file_id` or an address. Raises
    `BotApiError`."""
    reference = form.fields.get(kind.value, "")
    upload = form.files.get(reference.removeprefix("attach://") if reference else kind.value)
    if upload is not None:
        return uploaded(kind, upload, form.fields, origin="upload", strict_images=strict_images)
    if not reference:
        raise bad_request(f"there is no {kind.value.replace('_', ' ')} in the request")
    if reference.startswith(("http://", "https://")):
        return MediaUrl(reference)
    file = read_file_id(reference, token=bot.token)
    if file is None:
        raise bad_request("wrong file identifier/HTTP URL specified")
    if file.kind is not kind:
        raise bad_request(f"can't use file of type {_TYPE_NAMES[file.kind]} as {_TYPE_NAMES[kind]}")
    return Media(file, MediaDetails(fields=form.fields), "file_id")


def uploaded(kind: Kind, upload: UploadedFile, fields: Mapping[str, str], *, origin: str, strict_images: bool) -> Media:
    """Return new content as media of `kind`. Raises `BotApiError` if Telegram would refuse it."""
    if upload.bytes == 0:
        raise bad_request("file must be non-empty")
    width, height = _frame(kind, fields)
    if kind is Kind.PHOTO:
        width, height = _photo_size(upload, strict_images=strict_images)
    elif kind is Kind.VIDEO and SILENT_MARKER in (upload.file_name or ""):
        kind = Kind.ANIMATION
    duration_s = min(number(fields.get("duration"), 0), _MAX_U32)
    file = StoredFile(kind, upload.sha256, upload.bytes, width, height, duration_s)
    return Media(file, MediaDetails(upload.file_name, upload.content_type, fields), origin)


def _photo_size(upload: UploadedFile, *, strict_images: bool) -> tuple[int, int]:
    if upload.bytes > MAX_PHOTO_BYTES:
        raise bad_request(
            f"file of size {upload.bytes} bytes is too big for a photo; the maximum size is {MAX_PHOTO_BYTES} bytes"
        )
    size = image_size(upload.head)
    if size is None or min(size) == 0:
        if strict_images:
            raise bad_request("IMAGE_PROCESS_FAILED")
        return 1280, 720
    if sum(size) > MAX_PHOTO_SIDES or max(size) > MAX_PHOTO_RATIO * min(size):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return size


def _frame(kind: Kind, fields: Mapping[str, str]) -> tuple[int, int]:
    """Return the picture's size as the sender gave it, or a default that a client can show."""
    if kind is Kind.VIDEO_NOTE:
        length = min(number(fields.get("length"), 240), _MAX_U16)
        return length, length
    if kind in (Kind.VIDEO, Kind.ANIMATION):
        width, height = number(fields.get("width"), 1280), number(fields.get("height"), 720)
        return min(width, _MAX_U16), min(height, _MAX_U16)
    return 0, 0


def number(text: str | None, default: int) -> int:
    """Return the whole number in a form's field, or `default` for anything else."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else default
