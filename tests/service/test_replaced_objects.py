"""What a user loses if a record goes on though its object was replaced, or a push waits for what nobody asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import evolve

from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import RecordsSettings, Settings
from streamwarm.watch.record_news import OtherAccounts, RecordsAdopted
from tests.worlds.bucket_gate import bucket_gate
from tests.worlds.service import (
    OTHER_TOKEN,
    TOKEN,
    World,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)


def job(key: str, kind: str = "document", **more: Any) -> dict[str, Any]:
    return {"destination": "bot", "kind": kind, "r2_key": key, **more}


def distrusting(settings: Settings, **more: Any) -> Settings:
    """Every push by key has its object compared."""
    return evolve(settings, records=RecordsSettings(trust_s=0, **more))


async def pushed(w: World, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """The jobs once they have ended."""
    reply = await w.push(*jobs)
    assert reply["rejected"] == []
    return await w.outcomes([item["id"] for item in reply["accepted"]])


def missing(key: str) -> Callable[[str, str], tuple[int, str] | None]:
    return lambda method, target: (404, "NoSuchKey") if target.partition("?")[0].endswith(key) else None


async def test_an_object_that_was_replaced_is_sent_again_and_the_look_up_answers_the_new_one(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "replaced/a.bin"
    await put(object_store, {key: b"old" * 500})
    async with running_emulator() as emulator:
        settings = distrusting(settings_for(object_store, tmp_path / "s.db", {"bot": telegram_table(emulator)}))
        async with running_service(settings) as w:
            [first] = await pushed(w, job(key))
            await put(object_store, {key: b"new" * 500})
            [second] = await pushed(w, job(key))
            found = await w.client.call("find", {"destination": "bot", "kind": "document", "r2_key": key})
    assert second["state"] == "done"
    assert second["result"]["source"] in {"stream", "cache"}
    assert second["result"]["file_id"] != first["result"]["file_id"]
    assert second["result"]["source_etag"] != first["result"]["source_etag"]
    assert found["file_id"] == second["result"]["file_id"]
    assert len(emulator.deliveries) == 2


async def test_an_object_that_is_as_it_was_is_answered_without_a_message(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "unchanged/a.bin"
    await put(object_store, {key: b"same" * 500})
    async with running_emulator() as emulator:
        settings = distrusting(settings_for(object_store, tmp_path / "s.db", {"bot": telegram_table(emulator)}))
        async with running_service(settings) as w:
            [first] = await pushed(w, job(key))
            await w.client.call("pause", {"destination": "bot"})
            [second] = await pushed(w, job(key))
            async with httpx.AsyncClient(trust_env=False) as http:
                page = (await http.get(f"{w.endpoints.http}/metrics")).text
    assert second["state"] == "done"
    assert second["attempt"] == 0
    assert second["result"] == first["result"] | {"source": "unchanged"}
    assert len(emulator.deliveries) == 1
    assert 'streamwarm_jobs_total{destination="bot",kind="document",outcome="unchanged"} 1.0' in page
    assert "streamwarm_warm_seconds_count 1.0" in page


async def test_while_the_bucket_is_paused_the_record_is_answered_as_not_verified(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "unverified/a.bin"
    await put(object_store, {key: b"same" * 500})
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        settings = distrusting(settings_for(store, tmp_path / "s.db", {"bot": telegram_table(emulator)}))
        async with running_service(settings) as w:
            [first] = await pushed(w, job(key))
            gate.shut = 403, "SignatureDoesNotMatch"
            [second] = await pushed(w, job(key))
            assert (await w.client.call("stats", {}))["source"]["paused"] is not None
            [third] = await pushed(w, job(key))
    for later in (second, third):
        assert later["state"] == "done"
        assert later["result"] == first["result"] | {"source": "unverified"}
    assert len(emulator.deliveries) == 1


async def test_an_object_that_was_deleted_fails_its_job_and_leaves_the_record(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "deleted/a.bin"
    await put(object_store, {key: b"gone" * 500})
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        settings = distrusting(settings_for(store, tmp_path / "s.db", {"bot": telegram_table(emulator)}))
        async with running_service(settings) as w:
            [first] = await pushed(w, job(key))
            gate.shut_for = missing(key)
            [second] = await pushed(w, job(key))
            found = await w.client.call("find", {"destination": "bot", "kind": "document", "r2_key": key})
            assert (await w.client.call("stats", {}))["source"]["paused"] is None
    assert second["state"] == "failed"
    assert second["error"]["code"] == "source_not_found"
    assert found["file_id"] == first["result"]["file_id"]


async def test_another_bot_under_the_same_name_answers_none_of_the_first_ones_references(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "bots/a.bin"
    await put(object_store, {key: b"bots" * 500})
    async with running_emulator() as emulator:
        answers = []
        for token in (None, OTHER_TOKEN, None):
            table = telegram_table(emulator) if token is None else telegram_table(emulator, token)
            settings = settings_for(object_store, tmp_path / "s.db", {"bot": table})
            async with running_service(settings) as w:
                found = await w.client.call("find", {"destination": "bot", "kind": "document", "r2_key": key})
                answers.append(found and found["file_id"])
                await pushed(w, job(key))
    assert answers[:2] == [None, None]
    assert answers[2] is not None
    assert len(emulator.deliveries) == 2


async def test_a_look_up_of_an_old_record_is_answered_at_once_and_a_change_warmed_behind_it(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "found/a.bin"
    await put(object_store, {key: b"old" * 500})
    asked = {"destination": "bot", "kind": "document", "r2_key": key}
    async with running_emulator() as emulator:
        settings = distrusting(settings_for(object_store, tmp_path / "s.db", {"bot": telegram_table(emulator)}))
        async with running_service(settings) as w:
            [first] = await pushed(w, job(key))
            await put(object_store, {key: b"new" * 500})
            found = await w.client.call("find", asked)
            assert found["file_id"] == first["result"]["file_id"]
            with trio.fail_after(60):
                while (found := await w.client.call("find", asked))["file_id"] == first["result"]["file_id"]:
                    await trio.sleep(0.05)
    assert len(emulator.deliveries) == 2


async def test_a_bucket_that_refuses_heads_is_compared_all_the_same(object_store: ObjectStore, tmp_path: Path) -> None:
    key = "no-heads/a.bin"
    await put(object_store, {key: b"same" * 500})
    async with bucket_gate(object_store) as (gate, store), running_emulator() as emulator:
        settings = distrusting(settings_for(store, tmp_path / "s.db", {"bot": telegram_table(emulator)}))
        async with running_service(settings) as w:
            await pushed(w, job(key))
            gate.shut_for = lambda method, target: (403, "") if method == "HEAD" else None
            [second] = await pushed(w, job(key))
            assert (await w.client.call("stats", {}))["source"]["paused"] is None
            assert (await w.client.call("stats", {}))["destinations"]["bot"]["account"] == "4242"
    assert second["result"]["source"] == "unchanged"
    assert len(emulator.deliveries) == 1


async def test_a_token_that_is_issued_anew_keeps_its_bots_records_and_another_bot_is_named_at_the_start(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    key = "reissued/a.bin"
    await put(object_store, {key: b"mine" * 500})
    bot = TOKEN.partition(":")[0]
    database = tmp_path / "s.db"
    async with running_emulator() as emulator:
        settings = settings_for(object_store, database, {"bot": telegram_table(emulator)})
        async with running_service(settings) as w:
            [first] = await pushed(w, job(key))
            assert [one for one in w.observed if isinstance(one, OtherAccounts | RecordsAdopted)] == []
        with closing(sqlite3.connect(database)) as rows, rows:
            rows.execute("UPDATE media_cache SET account = ''")  # as an older version left them
        reissued = settings_for(object_store, database, {"bot": telegram_table(emulator, f"{bot}:AA-issued-anew")})
        async with running_service(reissued) as w:
            [second] = await pushed(w, job(key))
            assert [one.records for one in w.observed if isinstance(one, RecordsAdopted)] == [1]
        other = settings_for(object_store, database, {"bot": telegram_table(emulator, OTHER_TOKEN)})
        async with running_service(other) as w:
            said = [one for one in w.observed if isinstance(one, OtherAccounts)]
    assert second["result"]["file_id"] == first["result"]["file_id"]
    assert [(one.destination, one.account, one.records_of) for one in said] == [("bot", OTHER_TOKEN[:4], bot)]
