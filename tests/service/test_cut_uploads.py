"""A multipart upload whose process is killed must not stay in the bucket, unseen and paid for (fault 16)."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trio

from streamwarm.cli.client import Client, connect
from streamwarm.fetch.r2 import R2Source
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import S3Request, Signer, SigningKeys, object_path
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.http_sink import Fault, FaultProxy
from tests.worlds.http_sink import serving as serving_proxy
from tests.worlds.processes import serving, write_config
from tests.worlds.service import DEADLINE_S, put

BODY = random.Random(7).randbytes(12_000_000)
PART_BYTES = 5 << 20


async def unfinished(client: httpx.AsyncClient, store: ObjectStore) -> list[str]:
    """Keys of the multipart uploads that are under way in the bucket, by prefix of this test."""
    url = httpx.URL(store.endpoint_url)
    asked = S3Request("GET", url.netloc.decode(), object_path(store.bucket), (("uploads", ""),))
    signer = Signer(store.access_key_id, store.secret_access_key, SigningKeys())
    headers = signer.headers(asked, now=time.time())
    answer = await client.send(httpx.Request("GET", url.copy_with(raw_path=asked.target), headers=headers))
    return re.findall(r"<Key>(killed/[^<]*)</Key>", answer.text)


async def state_of(client: Client, job_id: str) -> str:
    return str((await client.call("get", {"id": job_id}))["state"])


@pytest.mark.parametrize("attempts", [5, 1], ids=["tried-again", "given-up"])
async def test_an_upload_that_a_killed_process_left_is_aborted_at_the_next_start(
    attempts: int, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"cut.bin": BODY})
    proxy = FaultProxy(urlsplit(object_store.endpoint_url).port or 0, lambda request: b"partNumber=2" in request.target)
    proxy.faults.append(Fault(100_000, stays=True))
    async with serving_proxy(proxy), open_client() as client:
        table: dict[str, Any] = {
            "type": "s3",
            "endpoint_url": f"http://127.0.0.1:{proxy.port}",
            "bucket": object_store.bucket,
            "access_key_id": object_store.access_key_id,
            "secret_access_key": object_store.secret_access_key,
            "key": "killed/{r2_key}",
            "part_bytes": PART_BYTES,
        }
        config = write_config(tmp_path, object_store, {"backup": table}, max_attempts=attempts)
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as pushing:
            job = {"destination": "backup", "kind": "video", "r2_key": "cut.bin"}
            job_id = (await pushing.call("push", {"jobs": [job]}))["accepted"][0]["id"]
            with trio.fail_after(DEADLINE_S):
                while proxy.faults:
                    await trio.sleep(0.02)
            service.process.kill()
        assert await unfinished(client, object_store) == ["killed/cut.bin"]

        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as asking:
            with trio.fail_after(DEADLINE_S):
                while await state_of(asking, job_id) not in {"done", "failed"} or await unfinished(
                    client, object_store
                ):
                    await trio.sleep(0.05)
            assert await state_of(asking, job_id) == ("done" if attempts > 1 else "failed")
        source = R2Source(
            client, object_store.as_bucket(), signing_keys=SigningKeys(), now=time.time, uniform=random.random
        )
        assert [item async for item in source.list_objects(".streamwarm/")] == []
        if attempts > 1:
            async with source.open_object("killed/cut.bin") as opened:
                assert b"".join([bytes(piece) async for piece in opened.pieces()]) == BODY
