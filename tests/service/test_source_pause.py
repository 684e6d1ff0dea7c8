"""What a user loses if a bucket's trouble is charged to its jobs: a library's worth of them, within seconds."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio
from attrs import evolve

from streamwarm.fetch.probe import PROBE_KEYS
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import StoreSettings
from tests.worlds.bucket_gate import bucket_gate
from tests.worlds.postgres import PostgresServer
from tests.worlds.service import World, put, running_emulator, running_service, settings_for, telegram_table

JOBS = 60


async def paused_source(w: World) -> dict[str, object]:
    with trio.fail_after(20):
        while not (pause := (await w.client.call("stats", {}))["source"]["paused"]):
            await trio.sleep(0.05)
    return dict(pause)


async def running_source(w: World) -> None:
    with trio.fail_after(20):
        while (await w.client.call("stats", {}))["source"]["paused"]:
            await trio.sleep(0.05)


def keys_of(name: str) -> dict[str, bytes]:
    return {f"source-pause/{name}/{number:03}.bin": b"x" * (1000 + number) for number in range(JOBS)}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "SignatureDoesNotMatch"),
        (403, "RequestTimeTooSkewed"),
        (404, "NoSuchBucket"),
        (503, "SlowDown"),
        (520, ""),
    ],
)
async def test_a_bucket_that_refuses_everything_costs_no_job_an_attempt(
    status: int, code: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    objects = keys_of(f"{status}{code}")
    await put(object_store, objects)
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        settings = settings_for(store, tmp_path / "s.db", {"bot": telegram_table(emulator)})
        async with running_service(settings) as w:
            gate.shut = status, code
            pushed = await w.push(*({"destination": "bot", "kind": "document", "r2_key": key} for key in objects))
            pause = await paused_source(w)
            assert pause["by"] == "source"
            assert (
                str(status) in str(pause["reason"]) or code in str(pause["reason"]) or "bucket" in str(pause["reason"])
            )
            await trio.sleep(0.5)
            # Each worker's own request, and two probes: the one that decided, and the first one of the pause.
            assert len(gate.refused) <= settings.queue.workers + 2 * (1 + PROBE_KEYS)

            async with httpx.AsyncClient(base_url=w.endpoints.http, trust_env=False) as http:
                assert (await http.get("/readyz")).status_code == 200
                assert (await http.get("/v1/media/bot/document/none")).status_code == 404
                metrics = (await http.get("/metrics")).text
            assert 'streamwarm_paused{by="source",name="media",scope="source"} 1.0' in metrics

            gate.shut = None
            await w.client.call("resume", {})
            ended = await w.outcomes([one["id"] for one in pushed["accepted"]])
            assert {job["state"] for job in ended} == {"done"}
            assert {job["attempt"] for job in ended} == {1}
            assert len(emulator.deliveries) == JOBS


async def test_an_object_in_the_cache_is_sent_while_the_bucket_is_down(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "source-pause/cached.bin"
    await put(object_store, {key: b"y" * 5000, "source-pause/other.bin": b"z" * 5000})
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        tables = {name: telegram_table(emulator) for name in ("first", "second", "third")}
        async with running_service(settings_for(store, tmp_path / "s.db", tables)) as w:
            for name in ("first", "second"):  # wanted twice, it is cached
                job = (await w.push({"destination": name, "kind": "document", "r2_key": key}))["accepted"][0]
                assert (await w.outcome(job["id"]))["state"] == "done"
            gate.shut = 403, "InvalidAccessKeyId"
            held = await w.push({"destination": "first", "kind": "document", "r2_key": "source-pause/other.bin"})
            await paused_source(w)
            job = (await w.push({"destination": "third", "kind": "document", "r2_key": key}))["accepted"][0]
            assert (await w.outcome(job["id"]))["state"] == "done"
            waits = await w.client.call("get", {"id": held["accepted"][0]["id"]})
            assert waits["state"] in {"queued", "waiting"}
            gate.shut = None
            await w.client.call("resume", {})
            await running_source(w)
            assert (await w.outcome(waits["id"]))["state"] == "done"


async def test_a_pause_of_the_bucket_outlives_a_restart(object_store: ObjectStore, tmp_path: Path) -> None:
    key = "source-pause/restart.bin"
    await put(object_store, {key: b"y" * 5000})
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        settings = settings_for(store, tmp_path / "s.db", {"bot": telegram_table(emulator)})
        gate.shut = 403, "ExpiredToken"
        async with running_service(settings) as w:
            job = (await w.push({"destination": "bot", "kind": "document", "r2_key": key}))["accepted"][0]
            await paused_source(w)
        async with running_service(settings) as w:
            await paused_source(w)
            assert (await w.client.call("get", {"id": job["id"]}))["attempt"] == 0
            gate.shut = None
            await w.client.call("resume", {})
            await w.client.call("watch", {"ids": [job["id"]]})
            assert (await w.outcome(job["id"]))["attempt"] == 1


async def test_two_hosts_keep_every_job_through_a_rotated_key_though_one_is_restarted(
    object_store: ObjectStore, postgres_server: PostgresServer
) -> None:
    objects = {f"source-pause/hosts/{number:03}.bin": b"h" * (1000 + number) for number in range(JOBS)}
    await put(object_store, objects)
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        settings = evolve(
            settings_for(store, Path("unused"), {"bot": telegram_table(emulator)}),
            store=StoreSettings(url=postgres_server.new_schema()),
        )
        gate.shut = 403, "SignatureDoesNotMatch"
        async with running_service(settings) as one:
            async with running_service(settings) as two:
                pushed = await one.push(*({"destination": "bot", "kind": "document", "r2_key": key} for key in objects))
                await paused_source(one)
                await paused_source(two)
            async with running_service(settings) as restarted:
                await paused_source(restarted)
                # In each of three lives: each worker's own request, and two probes.
                assert len(gate.refused) <= 3 * (settings.queue.workers + 2 * (1 + PROBE_KEYS))
                gate.shut = None
                await restarted.client.call("resume", {})
                ended = await one.outcomes([job["id"] for job in pushed["accepted"]])
        assert {job["state"] for job in ended} == {"done"}
        assert {job["attempt"] for job in ended} == {1}
        assert len(emulator.deliveries) == JOBS
