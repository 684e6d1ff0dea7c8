"""What a user loses if these fail: why a destination refused, when its answer's body arrives a byte at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio
import trio.testing

from streamwarm.send.exchange import REFUSAL_BODY_S, Upload, exchange
from tests.worlds.whole_body import Bytes

SAID = b'{"ok":false,"error_code":413,"description":"Request Entity Too Large"}'


class Dripping(httpx.AsyncByteStream):
    """What was said at once, then a byte every ten seconds, without end."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield SAID
        while True:
            await trio.sleep(10)
            yield b" "


@pytest.mark.parametrize("status", [301, 400, 401, 413, 429, 500, 503, 599])
async def test_a_refusal_is_known_though_its_body_never_ends(
    status: int, autojump_clock: trio.testing.MockClock
) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, stream=Dripping()))
    async with httpx.AsyncClient(transport=transport) as client:
        request = client.build_request("PUT", "http://127.0.0.1/x", content=b"abc")
        begun = trio.current_time()
        with trio.fail_after(600):
            answer = await exchange(client, request, Upload(Bytes(b"abc")), max_bytes=1000)
    assert (answer.status, answer.body, answer.whole) == (status, SAID, False)
    assert trio.current_time() - begun == REFUSAL_BODY_S


async def test_a_success_is_read_to_its_end_however_slow(autojump_clock: trio.testing.MockClock) -> None:
    """The reference stands in it; Telegram and S3 may take minutes for it."""

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(30):
                await trio.sleep(5)
                yield b" "
            yield b"done"

    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=Slow()))
    async with httpx.AsyncClient(transport=transport) as client:
        request = client.build_request("PUT", "http://127.0.0.1/x", content=b"abc")
        answer = await exchange(client, request, Upload(Bytes(b"abc")), max_bytes=1000)
    assert answer.whole
    assert answer.body.strip() == b"done"
