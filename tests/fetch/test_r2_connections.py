"""A bucket that stalls, dies or is left half-way costs neither its worker nor a connection (faults 5 to 8)."""

from __future__ import annotations

from functools import partial
from random import random

import pytest
import trio
from trio.testing import MockClock

from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.s3.sigv4 import SigningKeys
from tests.worlds.scripted_bucket import (
    CANARY,
    ETAG,
    NOW,
    Asked,
    Script,
    first_then,
    head,
    holding,
    patient_clock,
    pooled_client,
    refusal,
    rig,
)

BODY = b"media" * 40_000


@pytest.fixture
def clock() -> MockClock:
    return patient_clock()


async def silent(asked: Asked, stream: trio.SocketStream) -> None:
    """Say nothing until the other side hangs up."""
    await stream.receive_some()
    await stream.aclose()


async def silent_after_head(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=1000) + b"x")
    await silent(asked, stream)


async def trickling(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=1000))
    while True:
        await stream.send_all(b"x")
        await trio.sleep(5)


@pytest.mark.parametrize(
    ("script", "at_most_s"),
    [(silent, 31), (silent_after_head, 61), (trickling, 66)],
    ids=["silent", "silent after the head", "trickling"],
)
async def test_a_source_that_stalls_gives_its_worker_back(script: Script, at_most_s: float, clock: MockClock) -> None:
    started_at = trio.current_time()
    error = await refusal(script)
    assert error.code is ErrorCode.TIMEOUT
    assert not error.permanent
    assert trio.current_time() - started_at <= at_most_s


async def test_a_slow_destination_does_not_make_the_source_look_stalled(clock: MockClock) -> None:
    async with rig(holding(BODY, cuts=[])) as honest, honest.source.open_object("a.mp4") as opened:
        got = bytearray()
        async for piece in opened.pieces():
            got += piece
            await trio.sleep(100)
        assert got == BODY


async def test_a_bucket_that_cannot_be_reached_is_tried_again() -> None:
    bucket = Bucket("http://127.0.0.1:9", "media", "auto", "id", CANARY)
    async with pooled_client() as client:
        source = R2Source(client, bucket, signing_keys=SigningKeys(), now=lambda: NOW, uniform=random)
        with pytest.raises(SourceError) as caught:
            async with source.open_object("media/a.mp4"):
                pass
    assert caught.value.code is ErrorCode.SOURCE_UNAVAILABLE
    assert not caught.value.permanent


async def test_a_kept_connection_that_died_in_the_meantime_costs_no_attempt() -> None:
    async def hang_up(asked: Asked, stream: trio.SocketStream) -> None:
        await stream.aclose()

    async with rig(first_then(hang_up, holding(BODY, cuts=[]))) as broken:
        assert await broken.read() == BODY


async def test_a_server_that_hangs_up_on_everything_is_unavailable() -> None:
    async def hang_up(asked: Asked, stream: trio.SocketStream) -> None:
        await stream.aclose()

    assert (await refusal(hang_up)).code is ErrorCode.SOURCE_UNAVAILABLE


async def endless(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=10**12))
    while True:
        await stream.send_all(b"x" * 65536)


async def test_leaving_an_object_early_leaves_no_connection_and_no_slot_taken() -> None:
    async with rig(endless, open_http=partial(pooled_client, 1)) as honest:
        for _ in range(3):
            async with honest.source.open_object("a.mp4") as opened:
                assert await anext(opened.pieces())
        await honest.bucket.all_closed()


async def test_leaving_an_object_unread_leaves_no_connection() -> None:
    async with rig(endless, open_http=partial(pooled_client, 1)) as honest:
        async with honest.source.open_object("a.mp4"):
            pass
        await honest.bucket.all_closed()


@pytest.mark.parametrize("script", [silent, silent_after_head, endless], ids=lambda script: script.__name__)
async def test_a_cancelled_transfer_leaves_no_connection_and_no_slot_taken(script: Script) -> None:
    async with rig(script, open_http=partial(pooled_client, 1)) as honest:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(honest.read)
            await honest.bucket.first_asked.wait()
            nursery.cancel_scope.cancel()
        await honest.bucket.all_closed()
        honest.bucket.script = holding(BODY, cuts=[])
        assert await honest.read() == BODY


async def pausing(asked: Asked, stream: trio.SocketStream) -> None:
    await stream.send_all(head(200, etag=ETAG, content_length=1000) + b"x")
    await trio.sleep(5)
    await stream.send_all(b"x" * 999)


async def test_a_read_that_was_cancelled_is_not_taken_for_the_end(clock: MockClock) -> None:
    async with rig(pausing) as honest, honest.source.open_object("a.mp4") as opened:
        pieces = opened.pieces()
        got = await anext(pieces)
        with trio.move_on_after(1):
            await anext(pieces)
        assert got + b"".join([bytes(piece) async for piece in pieces]) == b"x" * 1000
