"""Reads how a video looks before it is sent, because Telegram keeps for ever what an upload says about it.

The first bytes come from the open object itself, and are sent afterwards. Only if they do not tell enough, some more
are read by ranges. What cannot be read is sent as it is.
"""

from __future__ import annotations

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.source import SourceObject
from streamwarm.send.destination import Body, FactsWanted, VideoFacts
from streamwarm.stream.watchdog import Watchdog
from streamwarm.video import READ_BYTES, Unreadable, Video, VideoReader


async def probe(opened: SourceObject, body: Body, watchdog: Watchdog, wanted: FactsWanted) -> VideoFacts | None:
    """Return what the object says about itself, None if it is no MP4 or cannot be read.

    Raises `SourceError` if the object was replaced, or the bucket is in passing trouble: the next attempt asks again.
    """
    if wanted is FactsWanted.NONE:
        return None
    size_bytes = opened.info.bytes
    front = await body.peek(min(READ_BYTES, size_bytes))
    reader = VideoReader(size_bytes)
    reader.feed(0, front[:READ_BYTES])
    while (want := reader.next_read()) is not None:
        if wanted is FactsWanted.AT_HAND:
            return None
        watchdog.expect_source()
        try:
            reader.feed(want.offset, await opened.read_at(want.offset, want.length))
        except SourceError as error:
            if error.passing or error.code is ErrorCode.SOURCE_CHANGED:
                raise
            return None
        watchdog.expect_destination()
    return _facts(reader.result)


def _facts(found: Video | Unreadable) -> VideoFacts | None:
    if isinstance(found, Unreadable) or not found.has_video:
        return None
    return VideoFacts(found.width, found.height, found.duration_s, found.streamable)
