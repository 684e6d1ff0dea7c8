"""What an operator loses without these: seeing how many records are of objects that were replaced or deleted."""

from __future__ import annotations

from pathlib import Path

import httpx

from streamwarm.sandbox.object_store import ObjectStore
from tests.service.test_replaced_objects import distrusting, job, pushed
from tests.worlds.service import (
    OTHER_TOKEN,
    TOKEN,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)


async def test_records_of_a_replaced_object_are_counted_by_destination_in_the_stats_and_metrics(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    keys = ["counted/a.bin", "counted/b.bin"]
    await put(object_store, {key: key.encode() * 500 for key in keys})
    async with running_emulator() as emulator:
        tables = {"bot": telegram_table(emulator), "other": telegram_table(emulator, OTHER_TOKEN)}
        settings = distrusting(settings_for(object_store, tmp_path / "s.db", tables))
        async with running_service(settings) as w, httpx.AsyncClient(trust_env=False) as http:
            await pushed(w, *(job(key) for key in keys), job(keys[0]) | {"destination": "other"})
            await put(object_store, {keys[0]: b"new" * 500})
            await pushed(w, job(keys[0]))  # one comparison is of every record of the key
            stats = await w.client.call("stats", {})
            page = (await http.get(f"{w.endpoints.http}/metrics")).text
            for destination, key in (("bot", keys[0]), ("bot", keys[1]), ("other", keys[0])):
                await w.client.call("forget", {"destination": destination, "kind": "document", "r2_key": key})
            after = await w.client.call("stats", {})
            page_after = (await http.get(f"{w.endpoints.http}/metrics")).text
    assert stats["records"] == {"current": 2, "changed": 1, "gone": 0}
    assert stats["destinations"]["bot"]["records"] == {"current": 2, "changed": 0, "gone": 0}
    assert stats["destinations"]["other"]["records"] == {"current": 0, "changed": 1, "gone": 0}
    assert stats["destinations"]["bot"]["account"] == TOKEN.partition(":")[0]
    assert 'streamwarm_records{destination="other",source_state="changed"} 1.0' in page
    assert 'streamwarm_records{destination="bot",source_state="current"} 2.0' in page
    assert set(after["records"].values()) == {0}
    assert 'streamwarm_records{destination="other",source_state="changed"} 0.0' in page_after
