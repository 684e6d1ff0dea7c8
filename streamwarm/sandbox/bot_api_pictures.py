"""The pictures of a request: a photo, and the thumbnail and the cover beside other media. No I/O."""

from __future__ import annotations

from attrs import field, frozen

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api_messages import Bot
from streamwarm.sandbox.bot_api_replies import BotApiError, bad_request
from streamwarm.sandbox.file_ids import NO_THUMBNAIL, Extra, FileKind, StoredFile, Thumbnail, read_file_id
from streamwarm.sandbox.form_reader import Form, UploadedFile
from streamwarm.sandbox.image_header import Image

MIB = 1024 * 1024
MAX_PHOTO_BYTES = 10 * MIB
MAX_PHOTO_SIDES = 10_000
MAX_PHOTO_RATIO = 20
MAX_THUMBNAIL_BYTES = 200 * 1024 - 1
MAX_THUMBNAIL_SIDE = 320

_WITHOUT_THUMBNAIL = frozenset({Kind.PHOTO, Kind.VOICE, Extra.STICKER})
_TYPE_NAMES = {kind: kind.replace("_", " ").title().replace(" ", "") for kind in (*Kind, *Extra)}


@frozen
class MediaUrl:
    """Media named by an address that Telegram fetches (hand-off). The address may be signed, so it is never shown."""

    url: str = field(repr=False)


def stored(bot: Bot, reference: str, kind: FileKind) -> StoredFile:
    """Return the file of a `file_id`. Raises `BotApiError` if it is another bot's, another kind's or no id."""
    file = read_file_id(reference, token=bot.token)
    if file is None:
        raise bad_request("wrong file identifier/HTTP URL specified")
    if file.kind is not kind:
        raise bad_request(f"can't use file of type {_TYPE_NAMES[file.kind]} as {_TYPE_NAMES[kind]}")
    return file


def find_thumbnail(kind: FileKind, form: Form, made: Thumbnail) -> tuple[Thumbnail, str | None]:
    """Return the thumbnail of an upload, and the digest of the one that came with it if Telegram takes that.

    Only a part of the form is taken: a `file_id` or an address is ignored, as is what is no JPEG, too large or too wide
    (https://github.com/tdlib/td: PhotoSize.cpp, FileLoaderUtils.cpp; https://github.com/tdlib/td/issues/1899). The one
    that Telegram has `made` wins: "can be ignored if thumbnail generation for the file is supported server-side"
    (https://core.telegram.org/bots/api#sendvideo), and so it is: python-telegram-bot's tests, which run against
    Telegram, send a square thumbnail with a small video and expect an upright one (tests/_files/test_video.py).
    """
    if kind in _WITHOUT_THUMBNAIL:
        return NO_THUMBNAIL, None
    part = form.part("thumbnail") or form.part("thumb")
    if made.bytes or part is None or part.image is None or not _is_thumbnail(part, part.image):
        return made, None
    return Thumbnail(part.image.width, part.image.height, part.bytes), part.sha256


def _is_thumbnail(part: UploadedFile, image: Image) -> bool:
    sides = (image.width, image.height)
    fits = min(sides) > 0 and max(sides) <= MAX_THUMBNAIL_SIDE
    return fits and image.format == "jpeg" and part.bytes <= MAX_THUMBNAIL_BYTES


def find_cover(bot: Bot, form: Form, *, strict_images: bool) -> StoredFile | MediaUrl | None:
    """Return a video's cover: a part of the form, a `file_id` or an address, also where the video itself is none
    (td's VideosManager). A missing part is no cover. Raises `BotApiError` if Telegram would refuse it."""
    reference = form.fields.get("cover", "")
    part = form.part("cover")
    if part is not None:
        return photo_of(part, strict_images=strict_images)
    if not reference or reference.startswith("attach://"):
        return None
    return MediaUrl(reference) if is_url(reference) else stored(bot, reference, Kind.PHOTO)


def check_covered(video: StoredFile) -> None:
    """Raise `BotApiError` if a video with a cover is too large: the open server checks its size as a photo's then."""
    if video.width + video.height > MAX_PHOTO_SIDES:
        raise bad_request("dimensions of the photo are too big")


def photo_of(upload: UploadedFile, *, strict_images: bool) -> StoredFile:
    """Return an upload as a photo. Raises `BotApiError` if Telegram would refuse it."""
    if upload.bytes == 0:
        raise bad_request("file must be non-empty")
    if upload.bytes > MAX_PHOTO_BYTES:
        raise too_big(upload.bytes, "photo", MAX_PHOTO_BYTES)
    image = upload.image
    if image is None or min(image.width, image.height) == 0:
        if strict_images:
            raise bad_request("IMAGE_PROCESS_FAILED")
        image = Image("", 1280, 720)
    size = (image.width, image.height)
    if sum(size) > MAX_PHOTO_SIDES or max(size) > MAX_PHOTO_RATIO * min(size):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return StoredFile(Kind.PHOTO, upload.sha256, upload.bytes, *size)


def is_url(reference: str) -> bool:
    """Whether Telegram fetches what a request names."""
    return reference.startswith(("http://", "https://"))


def too_big(size_bytes: int, what: str, limit_bytes: int) -> BotApiError:
    """Return td's refusal of a file (FileLoaderUtils.cpp)."""
    return bad_request(
        f"file of size {size_bytes} bytes is too big for a {what}; the maximum size is {limit_bytes} bytes"
    )
