"""The media of a request: an upload, a `file_id` or an address, and as what it comes back. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_messages import Bot, MediaDetails
from streamwarm.sandbox.bot_api_pictures import (
    MIB,
    MediaUrl,
    check_covered,
    find_thumbnail,
    is_url,
    photo_of,
    stored,
    too_big,
)
from streamwarm.sandbox.bot_api_replies import bad_request
from streamwarm.sandbox.file_ids import FileKind, StoredFile
from streamwarm.sandbox.form_reader import Form, UploadedFile, is_true, number
from streamwarm.sandbox.media_names import extension_of, kept_name, kind_of_document, mime_type_as, mime_type_of
from streamwarm.sandbox.media_shapes import Shape, shape_of

MAX_VIDEO_NOTE_BYTES = 12 * MIB
MAX_VIDEO_NOTE_LENGTH = 640
MAX_VOICE_URL_BYTES = MIB
"""A longer voice message that Telegram fetches is returned as a file."""

SILENT_MARKER = "silent"
"""A video whose file name contains this counts as one without sound, which Telegram returns as an animation."""

_NOTHING_NAMED: Mapping[str, str] = {}
"""What counts of a request's attributes for what Telegram fetches (`get_input_media` in td's managers), and for a
document, whatever it comes back as: sendDocument has none."""


@frozen
class Media:
    """The media of a send. `origin` is `upload`, `file_id` or `url`; `sent_name` and `sent_type` are what the upload or
    the fetched answer named. `thumbnail_sha256` is of a thumbnail that came with it and was taken."""

    file: StoredFile
    details: MediaDetails
    origin: str
    sent_name: str | None = None
    sent_type: str | None = None
    thumbnail_sha256: str | None = None

    def with_cover(self, cover: StoredFile | None) -> Media:
        """Return the media with a cover, which only a video can have. Raises `BotApiError`."""
        if cover is None or self.file.kind is not Kind.VIDEO:
            return self
        check_covered(self.file)
        return evolve(self, details=evolve(self.details, cover=cover))


def find_media(bot: Bot, kind: FileKind, form: Form, *, strict_images: bool) -> Media | MediaUrl:
    """Return the media of a send: an upload (direct or `attach://`), a `file_id` or an address. Raises
    `BotApiError`."""
    upload = form.part(kind.value)
    if upload is not None:
        return uploaded(kind, upload, form, strict_images=strict_images)
    reference = form.fields.get(kind.value, "")
    if not reference or reference.startswith("attach://"):
        raise bad_request(f"there is no {kind.value.replace('_', ' ')} in the request")
    if is_url(reference):
        return MediaUrl(reference)
    return Media(stored(bot, reference, kind), MediaDetails(), "file_id")


def uploaded(kind: FileKind, upload: UploadedFile, form: Form, *, strict_images: bool) -> Media:
    """Return an upload as media, of `kind` or of the one as which it comes back. Raises `BotApiError` if Telegram would
    refuse it."""
    _check_size(kind, upload, form.fields)
    named = kept_name(upload.file_name)
    mime_type = mime_type_of(named)
    returned = _kind_of_upload(kind, upload, form.fields)
    if returned is Kind.PHOTO:
        file, thumbnail_sha256 = photo_of(upload, strict_images=strict_images), None
    else:
        shape = shape_of(returned, upload, _NOTHING_NAMED if kind is Kind.DOCUMENT else form.fields)
        small, thumbnail_sha256 = find_thumbnail(returned, form, shape.thumbnail)
        file = _file(returned, upload, evolve(shape, thumbnail=small))
    if returned is Kind.ANIMATION and mime_type == "image/gif":
        named, mime_type = f"{named}.mp4", "video/mp4"  # https://github.com/eternnoir/pyTelegramBotAPI/issues/672
    tags = (form.fields.get("performer"), form.fields.get("title")) if kind is Kind.AUDIO else (None, None)
    details = MediaDetails(named, mime_type_as(returned, mime_type), *tags)
    return Media(file, details, "upload", upload.file_name, upload.content_type, thumbnail_sha256)


def fetched(kind: FileKind, answer: UploadedFile, *, strict_images: bool) -> Media:
    """Return what Telegram has fetched as media. Its type is the answer's; sizes and length are measured or unknown.
    Raises `BotApiError` if Telegram would refuse it."""
    _check_size(kind, answer, _NOTHING_NAMED)
    mime_type = answer.content_type or ""
    if kind is Kind.DOCUMENT:
        kind = kind_of_document(mime_type)
    elif kind is Kind.VOICE and answer.bytes > MAX_VOICE_URL_BYTES:
        kind = Kind.DOCUMENT
    shape = shape_of(kind, answer, _NOTHING_NAMED)
    if kind is Kind.VIDEO and shape.is_silent:
        kind = Kind.ANIMATION  # https://github.com/tdlib/telegram-bot-api/issues/315
    file = photo_of(answer, strict_images=strict_images) if kind is Kind.PHOTO else _file(kind, answer, shape)
    details = MediaDetails(kept_name(answer.file_name), mime_type_as(kind, mime_type))
    return Media(file, details, "url", answer.file_name, answer.content_type)


def _kind_of_upload(kind: FileKind, upload: UploadedFile, fields: Mapping[str, str]) -> FileKind:
    """Return as what an upload comes back that was sent as `kind`. Its name decides, not its content.

    A video stays one, with sound or without: the open server sets `nosound_video` for sendVideo, and for nothing else
    (td's VideosManager.cpp). So only `SILENT_MARKER` makes an animation of it.
    """
    named = kept_name(upload.file_name)
    if kind is Kind.VIDEO and SILENT_MARKER in named:
        return Kind.ANIMATION
    shape = shape_of(kind, upload, fields)
    if kind is Kind.DOCUMENT and not is_true(fields.get("disable_content_type_detection")):
        kind = kind_of_document(mime_type_of(named))
        return Kind.ANIMATION if kind is Kind.VIDEO and shape.is_silent else kind
    if kind is Kind.ANIMATION and not extension_of(named) and not shape.is_named:
        return Kind.DOCUMENT  # neither its name nor a size says that it moves (td's AnimationsManager.cpp)
    return kind


def _file(kind: FileKind, upload: UploadedFile, shape: Shape) -> StoredFile:
    size = (shape.width, shape.height, shape.duration_s)
    return StoredFile(kind, upload.sha256, upload.bytes, *size, thumbnail=shape.thumbnail)


def _check_size(kind: FileKind, upload: UploadedFile, fields: Mapping[str, str]) -> None:
    if upload.bytes == 0:
        raise bad_request("file must be non-empty")
    if kind is not Kind.VIDEO_NOTE:
        return
    if number(fields.get("length"), 0) > MAX_VIDEO_NOTE_LENGTH:
        raise bad_request("wrong video note length")
    if upload.bytes > MAX_VIDEO_NOTE_BYTES:
        raise too_big(upload.bytes, "video note", MAX_VIDEO_NOTE_BYTES)
