"""The emulator as a server: another process can control it, and neither a large upload nor garbage harms it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tracemalloc
from typing import Any

import httpx
import pytest
import trio

from tests.worlds.bot_api import (
    GROUP,
    TOKEN,
    connect,
    read_to_end,
    running,
    running_with_client,
    upload_frame,
)

MIB = 2**20
TRACED_PIECES = 60
"""Tracing every allocation is slow: what grows with an upload grows in its last 60 MiB too."""


async def test_another_process_can_inject_faults_and_read_deliveries() -> None:
    command = [
        sys.executable,
        "-m",
        "streamwarm.sandbox.bot_api",
        "--token",
        TOKEN,
        "--chat",
        f"{GROUP}:group",
    ]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            line = await process.stdout.receive_some(4096)
        async with httpx.AsyncClient(base_url=json.loads(line)["base_url"], timeout=30) as http:
            await check_control(http)
    finally:
        process.terminate()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            await process.wait()
        await process.stdout.aclose()


async def check_control(http: httpx.AsyncClient) -> None:
    fault = {"fault": "rate_limited", "retry_after": 3, "times": None}
    assert (await http.post("/sandbox/faults", json=fault)).json() == {"ok": True, "result": 1}
    upload: dict[str, Any] = {
        "data": {"chat_id": str(GROUP), "caption": "hi"},
        "files": {"video": b"content"},
    }
    assert (await http.post(f"/bot{TOKEN}/sendVideo", **upload)).status_code == 429
    assert (await http.get("/sandbox/faults")).json()["result"][0]["retry_after"] == 3
    assert (await http.delete("/sandbox/faults")).json()["ok"] is True
    for _ in range(3):
        assert (await http.post(f"/bot{TOKEN}/sendVideo", **upload)).status_code == 200
    page = (await http.get("/sandbox/deliveries", params={"after": 1, "limit": 1})).json()["result"]
    assert page["last_seq"] == 3
    (delivery,) = page["deliveries"]
    assert delivery["seq"] == 2
    assert delivery["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert delivery["caption"] == "hi"
    assert (await http.get("/sandbox/traffic")).json()["result"]["uploads_peak"] == 1
    for bad in ({"fault": "unheard_of"}, {"fault": "refused", "statsu": 1}, [1], "x", {"times": 1}):
        assert (await http.post("/sandbox/faults", json=bad)).status_code == 400
    assert (await http.get("/sandbox/deliveries", params={"after": "x"})).status_code == 400
    assert (await http.get("/sandbox/nothing")).status_code == 404


async def test_a_large_upload_streams_in_constant_memory() -> None:
    piece = bytes(range(256)) * 4096
    pieces = 300
    digest = hashlib.sha256()
    async with running(local_server=True) as emulator, await connect(emulator) as stream:
        head, after = upload_frame(len(piece) * pieces)
        await stream.send_all(head)
        for number in range(pieces):
            if number == pieces - TRACED_PIECES:
                tracemalloc.start()
            digest.update(piece)
            await stream.send_all(piece)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await stream.send_all(after)
        assert b'"ok":true' in await stream.receive_some(65536)
        assert emulator.deliveries[0].sha256 == digest.hexdigest()
        assert emulator.deliveries[0].bytes == pieces * MIB
    assert peak_bytes < 4 * MIB


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET /" + b"x" * 100_000,
        b"POST /bot1:a/getMe HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /bot%b/getMe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n" % TOKEN.encode(),
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%ff%00/../bot HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /bot%b/sendVideo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b'Content-Length: 9\r\n\r\n["\\ud800"' % TOKEN.encode(),
        b"\r\n" * 50_000,
    ],
)
async def test_what_is_not_http_costs_only_its_own_connection(garbage: bytes) -> None:
    async with running_with_client() as (emulator, client):
        async with await connect(emulator) as stream:
            try:
                await stream.send_all(garbage)
                await stream.send_eof()
            except trio.BrokenResourceError:
                pass
            assert b" 200 " not in await read_to_end(stream)
        assert (await client.call("getMe"))[0] == 200
