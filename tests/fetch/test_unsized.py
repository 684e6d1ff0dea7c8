"""What a user loses if an object is refused because its server does not tell how long it is (fault 37)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.cache.source import CachedSource, open_cache
from tests.worlds.scripted_bucket import ETAG, Asked, Rig, Script, head, rig

BODY = b"media" * 60_000


def headless(body: bytes = BODY, *, status: int = 405, ends: bool = True, chunked: bool = True) -> Script:
    """GET tells no length, and HEAD is answered with `status`."""

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(status, content_length=0))
        elif chunked:
            await stream.send_all(head(200, etag=ETAG, transfer_encoding="chunked"))
            await stream.send_all(b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if ends else b""))
            if not ends:
                await stream.aclose()
        else:
            await stream.send_all(head(200, etag=ETAG, connection="close") + body)
            await stream.aclose()

    return script


@asynccontextmanager
async def cached(
    broken: Rig, folder: Path, *, max_bytes: int = 1 << 20, eager: bool = False
) -> AsyncIterator[CachedSource]:
    opened = partial(open_cache, broken.source, folder=folder, ttl_s=300.0, max_entries=5, max_bytes=max_bytes)
    folder.mkdir(exist_ok=True)
    async with opened(eager=eager, run_sync=trio.to_thread.run_sync) as cache:
        yield cache


async def read(cache: CachedSource) -> bytes:
    async with cache.open_object("media/a.mp4") as opened:
        body = b"".join([bytes(piece) async for piece in opened.pieces()])
        assert opened.info.bytes == len(body)
        return body


@pytest.mark.parametrize("status", [400, 403, 405, 501])
@pytest.mark.parametrize("eager", [True, False])
async def test_an_object_without_any_length_is_measured_and_delivered(status: int, eager: bool, tmp_path: Path) -> None:
    async with rig(headless(status=status)) as broken, cached(broken, tmp_path / "cache", eager=eager) as cache:
        for _ in range(3):  # for one destination after another
            assert await read(cache) == BODY
        assert cache.stats().bytes == 0


async def test_an_object_that_does_not_fit_is_refused_with_the_remedy(tmp_path: Path) -> None:
    async with rig(headless()) as broken, cached(broken, tmp_path / "cache", max_bytes=1000) as cache:
        with pytest.raises(SourceError, match=r"cache\.max_bytes") as caught:
            await read(cache)
        assert caught.value.code is ErrorCode.SOURCE_REFUSED
        assert cache.stats().bytes == 0


async def test_without_a_cache_the_reason_is_told() -> None:
    async with rig(headless()) as broken:
        with pytest.raises(SourceError, match=r"neither by GET nor by HEAD.*cache\.max_bytes"):
            await broken.read()


@pytest.mark.parametrize("script", [headless(ends=False), headless(chunked=False)], ids=["cut", "no-chunks"])
async def test_an_end_that_may_be_a_cut_is_never_taken_for_the_whole(script: Script, tmp_path: Path) -> None:
    async with rig(script) as broken, cached(broken, tmp_path / "cache") as cache:
        with pytest.raises(SourceError):
            await read(cache)
