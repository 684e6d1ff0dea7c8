"""A bucket that sends an object byte by byte must not make the whole service look dead."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.scripted_bucket import ETAG, Asked, ScriptedBucket, head
from tests.worlds.service import running_emulator, running_service, settings_for, telegram_table
from tests.worlds.turns import MOST_CALLS, counted_turns

BODY = bytes(range(250)) * 1200
WIRE = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def healthz_until(over: trio.Event, url: str) -> int:
    """How often it answered before `over`."""
    answers = 0
    async with httpx.AsyncClient(trust_env=False) as client:
        while not over.is_set():
            assert (await client.get(f"{url}/healthz")).status_code == 200
            answers += 1
            await trio.sleep(0.01)
    return answers


@pytest.mark.parametrize("continues", [0, 90])
async def test_healthz_answers_while_an_object_comes_in_one_byte_chunks(tmp_path: Path, continues: int) -> None:
    async def one_byte_chunks(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.method == "HEAD":
            await stream.send_all(head(200, etag=ETAG, content_length=len(BODY)))
        else:
            await stream.send_all(CONTINUE * continues + head(200, etag=ETAG, transfer_encoding="chunked") + WIRE)

    answers: list[int] = []
    over = trio.Event()
    async with trio.open_nursery() as nursery, running_emulator() as emulator:
        serve = partial(trio.serve_tcp, ScriptedBucket(one_byte_chunks).serve, 0, host="127.0.0.1")
        port = (await nursery.start(serve))[0].socket.getsockname()[1]
        store = ObjectStore(f"http://127.0.0.1:{port}", "media", "key-id", "secret-key")
        settings = settings_for(store, tmp_path / "streamwarm.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world, trio.open_nursery() as beside:

            async def ask() -> None:
                answers.append(await healthz_until(over, world.endpoints.http))

            beside.start_soon(ask)
            job = {"destination": "mybot", "kind": "document", "r2_key": "a.bin", "bytes": len(BODY)}
            pushed = await world.push(job)
            async with counted_turns() as turns:
                ended = await world.outcome(pushed["accepted"][0]["id"])
            over.set()
        nursery.cancel_scope.cancel()
    assert ended["state"] == "done", ended
    assert ended["result"]["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert answers[0] > 0
    assert turns.most_calls < MOST_CALLS
