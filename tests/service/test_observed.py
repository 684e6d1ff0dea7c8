"""What an operator watches: after a run with every sort of outcome, each metric and each log event of the contract is
there and says what happened."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import trio
from prometheus_client.parser import text_string_to_metric_families

from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings
from streamwarm.watch.logs import make_logger
from tests.worlds.service import (
    OTHER_TOKEN,
    World,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)

METRICS: dict[str, set[str]] = {
    "streamwarm_jobs_total": {"destination", "kind", "outcome"},
    "streamwarm_queue_depth": {"state"},
    "streamwarm_queue_oldest_seconds": set(),
    "streamwarm_workers": set(),
    "streamwarm_workers_busy": set(),
    "streamwarm_workers_busy_peak": set(),
    "streamwarm_warm_seconds_bucket": {"le"},
    "streamwarm_queue_wait_seconds_bucket": {"le"},
    "streamwarm_transfer_seconds_bucket": {"le"},
    "streamwarm_bytes_total": {"direction"},
    "streamwarm_cache_requests_total": {"result"},
    "streamwarm_signing_keys_derived_total": set(),
    "streamwarm_source_reopens_total": set(),
    "streamwarm_retries_total": {"code"},
    "streamwarm_rate_limited_total": {"destination"},
    "streamwarm_unknown_outcomes_total": set(),
    "streamwarm_pool_connections": {"state"},
    "streamwarm_websocket_clients": set(),
}
"""Contract, section 7, with the labels as they are there."""

LOGGED: dict[str, set[str]] = {
    "[MEDIA][PREWARM][WORKER][START]": {"concurrency", "max_queue_size"},
    "[R2][AGENT]": {"connections", "keepalive_s"},
    "[MEDIA][PREWARM][QUEUE][ADD]": {"id", "destination", "kind", "r2_key"},
    "[MEDIA][PREWARM][QUEUE][FULL]": {"refused", "max_pending"},
    "[MEDIA][PREWARM][START]": {"id", "attempt", "worker"},
    "[MEDIA][PREWARM][DOWNLOAD_CACHE_HIT]": {"id", "r2_key", "bytes"},
    "[MEDIA][PREWARM][OK]": {"id", "bytes", "transfer_s", "warm_s"},
    "[MEDIA][PREWARM][ERR]": {"id", "code", "message"},
    "[MEDIA][PREWARM][RETRY]": {"id", "code", "in_s"},
    "[MEDIA][PREWARM][BATCH][DONE]": {"count", "ok", "failed", "seconds"},
}
"""All but the reorder, for which a job must wait a minute: tests/dispatch has it."""


def job(key: str, destination: str = "mybot") -> dict[str, Any]:
    return {"destination": destination, "kind": "document", "r2_key": key}


async def an_eventful_day(world: World, emulator: Any) -> None:
    """Done, from the bucket and from the cache; failed; retried after a 429 and a lost answer; refused as too many."""
    for fault in (
        Fault(FaultKind.REFUSED, status=429, description="Too Many Requests: retry after 1", retry_after=1),
        Fault(FaultKind.NO_ANSWER),
    ):
        emulator.inject(fault)
    for jobs in ([job("seen/a.bin")], [job("seen/b.bin")], [job("seen/a.bin", "other")], [job("seen/missing.bin")]):
        reply = await world.push(*jobs)
        await world.outcomes([item["id"] for item in reply["accepted"]])
    reply = await world.push(*(job(f"seen/{n}.bin") for n in range(20)))
    assert {item["code"] for item in reply["rejected"]} == {"queue_full"}
    await world.outcomes([item["id"] for item in reply["accepted"]])


async def test_every_metric_and_log_event_of_the_contract_tells_what_happened(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"seen/a.bin": b"a" * 60_000, "seen/b.bin": b"b" * 60_000})
    async with running_emulator() as emulator:
        bots = {"mybot": telegram_table(emulator), "other": telegram_table(emulator, OTHER_TOKEN)}
        queue = QueueSettings(max_pending=10)
        async with running_service(settings_for(object_store, tmp_path / "s.db", bots, queue=queue)) as world:
            await an_eventful_day(world, emulator)
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http:
                page = (await http.get("/metrics")).text
            while not any(type(one).__name__ == "BatchDone" for one in world.observed):
                await trio.sleep(0.01)

    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    found = {name: [sample for sample in samples if sample.name == name] for name in METRICS}
    assert {name: set(some[0].labels) for name, some in found.items() if some} == METRICS

    def total(name: str, **labels: str) -> float:
        return sum(one.value for one in found[name] if labels.items() <= one.labels.items())

    assert total("streamwarm_jobs_total", outcome="done") == 3
    assert total("streamwarm_jobs_total", destination="mybot", outcome="failed") >= 1
    assert total("streamwarm_queue_depth", state="done") == 3
    assert total("streamwarm_retries_total", code="rate_limited") == 1
    assert total("streamwarm_retries_total", code="delivery_unknown") == 1
    assert total("streamwarm_rate_limited_total", destination="mybot") == 1
    assert total("streamwarm_unknown_outcomes_total") == 1
    assert total("streamwarm_cache_requests_total", result="hit") >= 1
    assert total("streamwarm_bytes_total", direction="destination") >= 3 * 60_000
    assert total("streamwarm_bytes_total", direction="cache") >= 60_000
    assert total("streamwarm_signing_keys_derived_total") == 1
    assert total("streamwarm_workers") == 5
    assert total("streamwarm_workers_busy_peak") >= 1
    assert total("streamwarm_websocket_clients") == 1

    lines = logged(world)
    for event, fields in LOGGED.items():
        matching = [line for line in lines if line["event"] == event]
        assert matching, event
        assert fields <= matching[-1].keys(), event


def logged(world: World) -> list[dict[str, Any]]:
    """What the service would have logged, as JSON."""
    stream = io.StringIO()
    observe = make_logger(form="json", level="debug", redact=lambda text: text, stream=stream)
    for observation in world.observed:
        observe(observation)
    return [json.loads(line) for line in stream.getvalue().splitlines()]
