"""What the reader of videos returns. Pure."""

from __future__ import annotations

import math

from attrs import frozen


@frozen
class Video:
    """A readable MP4 or MOV file, as people will see it."""

    width: int | None
    """Pixels as shown: turned by the track's matrix and stretched by its pixel aspect. None without a picture, or if
    the file does not say."""

    height: int | None
    """None exactly if `width` is."""

    duration_s: float | None
    """Seconds that a player shows, edit lists applied; None if the windows that are read do not say."""

    streamable: bool
    """A player can start before it has the whole file: `moov` comes before the media, or the file is fragmented."""

    has_video: bool

    has_audio: bool | None
    """None if four windows did not reach the last track."""

    brand: str
    """The file's major brand without its padding: `isom`, `mp42`, `qt`, `M4A`; empty for an old MOV without one."""

    @property
    def is_silent(self) -> bool:
        """Whether it is a video that certainly has no sound. As a document it may come back as an animation."""
        return self.has_video and self.has_audio is False

    @property
    def whole_seconds(self) -> int | None:
        """The Bot API's `duration`: whole seconds, rounded half up, at least 1, because 0 means unknown there."""
        return None if self.duration_s is None else max(1, math.floor(self.duration_s + 0.5))


@frozen
class Unreadable:
    """Nothing is known about the file; it is sent as it is."""

    why: str
    """A phrase that follows the object's name, as in "is not an MP4 or MOV file"."""

    is_mp4: bool
    """Whether it is an MP4 or MOV file that could not be read. False for another format, where no one expects more."""
