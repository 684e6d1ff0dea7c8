"""Checks a thumbnail and a cover before anything is sent.

Telegram drops a wrong thumbnail without a word, and the `file_id` is then without one for ever. So what it would drop
fails the job, with the option's name. A cover that it would refuse is found out here too, before the upload.
"""

from __future__ import annotations

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.send.attachment import AttachedObject
from streamwarm.send.destination import Media
from streamwarm.send.telegram.bot_api import PHOTO_BYTES
from streamwarm.send.telegram.photo import LARGEST_SIDES, Dimensions, Lacking, why_not_a_photo
from streamwarm.send.telegram.preflight import read_front

THUMBNAIL_BYTES = 204_799
"""The open server ignores a larger one (200 KiB less one byte; tdlib/td, FileLoaderUtils.cpp)."""

THUMBNAIL_SIDE = 320
"""https://core.telegram.org/bots/api#sendvideo: "A thumbnail's width and height should not exceed 320." """

_JPEG = b"\xff\xd8\xff"

_LIMITS = {"thumbnail": THUMBNAIL_BYTES, "cover": PHOTO_BYTES}


async def check_attached(media: Media) -> None:
    """Read the fronts of what is sent along with the object, and check them.

    Raises `DestinationError` that names the option: `too_large`, `bad_photo`, or `destination_refused` for a cover that
    does not go with the video's size. Raises `SourceError`.
    """
    for one in media.attached:
        limit = _LIMITS[one.attachment.name]
        if one.size_bytes > limit:
            raise _refused(
                one, ErrorCode.TOO_LARGE, f"has {one.size_bytes} bytes; Telegram takes at most {limit}: make it smaller"
            )
        why = await _why_no_picture(one)
        if why is not None:
            raise _refused(one, ErrorCode.BAD_PHOTO, why)
        width, height = media.options.get("width", 0), media.options.get("height", 0)
        if one.attachment.name == "cover" and width + height > LARGEST_SIDES:
            # td checks the video's own sides as a photo's then (MessageContent.cpp, Photo.cpp `get_input_photo_size`).
            raise _refused(
                one,
                ErrorCode.DESTINATION_REFUSED,
                f"can't go with a video of {width} × {height} pixels; Telegram takes a cover only if both together are "
                f"at most {LARGEST_SIDES}: leave the cover out, or name a smaller width and height of the same shape",
            )


def name_cover(refusal: DestinationError, media: Media) -> None:
    """Say in Telegram's refusal of a picture that it is about the cover, if one was sent: a video has no other."""
    for one in media.attached:
        if one.attachment.name == "cover" and refusal.code is ErrorCode.BAD_PHOTO:
            refusal.reword(f"{one.attachment.named_by}: {one.attachment.r2_key}: {refusal.message}")


async def _why_no_picture(one: AttachedObject) -> str | None:
    """Return why Telegram would not take the picture, as a phrase that follows the object's name."""
    if not (await one.peek(len(_JPEG))).startswith(_JPEG):
        return "is not a JPEG, which it must be"
    finding = await read_front(one)
    if isinstance(finding, Lacking) and finding.bytes <= one.size_bytes:
        return None  # its size is further back than is read, so Telegram decides
    if not isinstance(finding, Dimensions):
        return "is a JPEG that shows no size, so it is damaged or cut off: make it anew"
    if one.attachment.name == "cover":
        return why_not_a_photo(finding)
    if max(finding.width, finding.height) > THUMBNAIL_SIDE:
        return (
            f"is {finding.width} × {finding.height} pixels; Telegram drops a thumbnail with a side over "
            f"{THUMBNAIL_SIDE}: scale it down"
        )
    return None


def _refused(one: AttachedObject, code: ErrorCode, why: str) -> DestinationError:
    return DestinationError(code, f"{one.attachment.named_by}: {one.attachment.r2_key} {why}", permanent=True)
