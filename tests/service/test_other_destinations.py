"""HTTP endpoints and buckets as destinations of the whole service: pushed, warmed, found, and nothing leaked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.http_sink import HttpSink
from tests.worlds.http_sink import serving as serving_sink
from tests.worlds.processes import run_cli, write_config
from tests.worlds.service import put, running_service, settings_for

CANARY = "header-canary-0123456789"
BODY = random.Random(3).randbytes(6_000_000)


def http_table(sink: HttpSink, host: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {CANARY}"}
    return {"type": "http", "url": f"http://{host}:{sink.port}/up/{{r2_key}}", "headers": headers, **more}


def s3_table(store: ObjectStore) -> dict[str, Any]:
    return {
        "type": "s3",
        "endpoint_url": store.endpoint_url,
        "bucket": store.bucket,
        "access_key_id": store.access_key_id,
        "secret_access_key": store.secret_access_key,
        "key": "copies/{kind}/{r2_key}",
        "part_bytes": 5 << 20,
    }


async def test_one_object_is_warmed_at_an_endpoint_and_in_a_bucket_and_never_at_a_private_address_in_disguise(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"other/a b.bin": BODY})
    sink = HttpSink([("ETag", '"e1"'), ("Location", f"/x?key={CANARY}")])
    async with serving_sink(sink):
        tables = {
            "cdn": http_table(sink, allow_private=True),
            "backup": s3_table(object_store),
            "disguised": http_table(sink, "2130706433"),  # 127.0.0.1 to a resolver
        }
        async with running_service(settings_for(object_store, tmp_path / "s.db", tables)) as world:
            jobs = [{"destination": name, "kind": "document", "r2_key": "other/a b.bin"} for name in tables]
            accepted = (await world.push(*jobs))["accepted"]
            cdn, backup, disguised = await world.outcomes([item["id"] for item in accepted])
            assert (cdn["state"], backup["state"], disguised["state"]) == ("done", "done", "failed")
            assert {"status": 201, "etag": '"e1"', "location": "/x", "bytes": len(BODY)}.items() <= cdn[
                "result"
            ].items()
            assert backup["result"]["key"] == "copies/document/other/a b.bin"
            assert disguised["error"]["code"] == "destination_refused"
            assert "loopback" in disguised["error"]["message"]
            assert "allow_private" in disguised["error"]["message"]
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http:
                for name in ("cdn", "backup"):
                    record = await http.get(f"/v1/media/{name}/document/other%2Fa%20b.bin")
                    assert record.json()["sha256"] == cdn["result"]["sha256"]
                copied = await world.push({**jobs[0], "r2_key": "copies/document/other/a b.bin"})
                again = await world.outcome(copied["accepted"][0]["id"])
                assert again["result"]["sha256"] == cdn["result"]["sha256"]
                shown = (await http.get("/v1/stats")).text + (await http.get("/v1/jobs")).text
        told = f"{world.observed} {[cdn, backup, disguised]} {shown}".encode()
        assert len(sink.received) == 2
    for place in (told, *(file.read_bytes() for file in tmp_path.iterdir())):
        assert CANARY.encode() not in place
        assert object_store.secret_access_key.encode() not in place


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"type": "http", "url": "https://u:pass-canary@h.example/{r2_key}"}, "url: must not have credentials"),
        ({"type": "http", "url": "http://10.0.0.1/{r2_key}"}, "url: 10.0.0.1 is a private address; set allow_private"),
    ],
)
async def test_a_destination_that_cannot_work_stops_the_start_with_its_key_and_remedy(
    table: dict[str, Any], says: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    config = write_config(tmp_path, object_store, {"place": table})
    with trio.fail_after(60):
        ended = await run_cli("serve", "--config", str(config))
    assert ended.returncode == 2, ended.stderr
    message = ended.stderr.decode()
    assert f"[destinations.place] {says}" in message
    assert "canary" not in message


async def test_check_lists_the_bucket_and_sends_the_endpoint_nothing(object_store: ObjectStore, tmp_path: Path) -> None:
    sink = HttpSink()
    async with serving_sink(sink):
        good = {"cdn": http_table(sink, allow_private=True) | {"headers": "X-Key: 1"}, "backup": s3_table(object_store)}
        config = write_config(tmp_path, object_store, good)
        told = await cli("check", "--json", "--config", str(config))
        assert told.code == 0, told.out
        assert {("cdn", True), ("backup: bucket", True)} <= {(line["check"], line["ok"]) for line in told.json()}

        wrong = {"backup": {**s3_table(object_store), "secret_access_key": "wrong-canary"}}
        told = await cli("check", "--config", str(write_config(tmp_path, object_store, wrong)))
        assert told.code == 1
        assert "check secret_access_key and region" in told.out
        assert "wrong-canary" not in told.out + told.err
    assert sink.received == []
