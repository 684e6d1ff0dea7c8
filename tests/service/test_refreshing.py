"""A bucket in which files were replaced and deleted: one command finds them, and warms anew what changed."""

from __future__ import annotations

from pathlib import Path

import httpx
import trio
from attrs import evolve

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.service import delete, put, running_emulator, running_service, settings_for, telegram_table


async def test_what_was_replaced_is_warmed_anew_and_what_was_deleted_is_marked(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"fresh/{name}": name.encode() * 9 for name in ("same", "new", "gone")})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            jobs = [
                {"destination": "mybot", "kind": "document", "r2_key": f"fresh/{n}"} for n in ("same", "new", "gone")
            ]
            ended = await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
            assert {one["state"] for one in ended} == {"done"}
            await trio.sleep(1.1)  # an S3 server keeps Last-Modified in whole seconds
            await put(object_store, {"fresh/new": b"another version"})
            await delete(object_store, "fresh/gone")
            where = ("--url", world.endpoints.websocket)

            planned = await cli("media", "refresh", "--prefix", "fresh/", "--dry-run", *where)
            assert planned.out == "1 changed, 1 gone, 0 new; 1 would be warmed anew\n"
            refreshed = await cli("media", "refresh", "--prefix", "fresh/", "--json", *where)
            assert refreshed.json() == [{"new": 0, "changed": 1, "gone": 1, "queued": 1}]
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http:
                with trio.fail_after(20):
                    while (record := (await http.get("/v1/media/mybot/document/fresh/new")).json())["bytes"] != 15:
                        await trio.sleep(0.05)
                assert record["source_state"] == "current"
                gone = (await http.get("/v1/media/mybot/document/fresh/gone")).json()
                assert (gone["source_state"], bool(gone["file_id"])) == ("gone", True)
                same = (await http.post("/v1/media/refresh", json={"prefix": "fresh/"})).json()
                assert same == {"new": 0, "changed": 0, "gone": 1, "queued": 0}
    assert len(emulator.deliveries) == 4


async def test_a_dry_run_of_a_push_says_what_is_new_changed_and_warm(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {"dry/a.pdf": b"a" * 9, "dry/b.pdf": b"b" * 9})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"dry/{name}.pdf"} for name in "ab"]
            await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
            await put(object_store, {"dry/b.pdf": b"another", "dry/c.pdf": b"new"})
            toml = tmp_path / "streamwarm.toml"
            names = ("endpoint_url", "bucket", "access_key_id", "secret_access_key")
            toml.write_text("[r2]\n" + "".join(f'{name} = "{getattr(object_store, name)}"\n' for name in names))
            told = await cli(
                *("push", "--prefix", "dry/", "--dry-run", "--config", str(toml), "--url", world.endpoints.websocket)
            )
    assert [line.split("\t")[::3] for line in told.out.splitlines()] == [
        ["warm", "dry/a.pdf"],
        ["changed", "dry/b.pdf"],
        ["new", "dry/c.pdf"],
    ]
    assert "nothing was pushed: 1 to be sent, 1 to be sent anew, 1 warm already" in told.err
    assert len(emulator.deliveries) == 2


async def test_a_dry_run_sends_nothing_that_changed_however_old_the_records_are(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    keys = ["q/a.pdf", "q/b.pdf"]
    await put(object_store, {key: key.encode() for key in keys})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        settings = evolve(settings, records=evolve(settings.records, trust_s=0))
        async with running_service(settings) as world:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in keys]
            await world.outcomes([item["id"] for item in (await world.push(*jobs))["accepted"]])
            await put(object_store, {"q/b.pdf": b"another"})
            told = await cli("push", "q/b.pdf", "q/b", "--dry-run", "--url", world.endpoints.websocket)
            # Comparisons are made in turn: that of b, if one was wanted, begins before this one ends.
            [checked] = await world.outcomes([item["id"] for item in (await world.push(jobs[0]))["accepted"]])
            listed = await cli("media", "list", "--prefix", "q/b", "--json", "--url", world.endpoints.websocket)
    assert [line.split("\t")[::3] for line in told.out.splitlines()] == [["compared", "q/b.pdf"], ["new", "q/b"]]
    assert checked["result"]["source"] == "unchanged"
    [record] = listed.json()
    assert record["source_state"] == "current"
    assert len(emulator.deliveries) == 2
