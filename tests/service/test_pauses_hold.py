"""What an operator who pauses the service must be able to rely on, with the command line in hand."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.service import DEADLINE_S, put, running_emulator, running_service, settings_for, telegram_table


async def test_a_paused_service_sends_nothing_even_after_a_restart_until_it_is_resumed(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"held.bin": b"h" * 5000})
    job = {"destination": "mybot", "kind": "document", "r2_key": "held.bin"}
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reach = ("--url", world.endpoints.websocket)
            paused = await cli("pause", *reach)
            assert (paused.code, paused.out) == (
                0,
                "the whole service: paused until it is resumed (paused by a user)\n",
            )
            accepted = (await world.push(job))["accepted"][0]
        async with running_service(settings) as world:
            reach = ("--url", world.endpoints.websocket)
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http:
                not_ready = await http.get("/readyz")
                assert (not_ready.status_code, "streamwarm resume" in not_ready.json()["detail"]) == (503, True)
                assert (await http.get("/v1/stats")).json()["paused"]["by"] == "user"
            assert not emulator.deliveries

            # The service goes on, and the bot stays paused by itself.
            assert (await cli("pause", "mybot", "--until", "1h", *reach)).code == 0
            [stats] = (await cli("resume", "--json", *reach)).json()
            assert (stats["paused"], stats["destinations"]["mybot"]["paused"]["by"]) == (None, "user")
            assert (await world.client.call("get", {"id": accepted["id"]}))["state"] == "queued"

            await world.client.call("watch", {"ids": [accepted["id"]]})
            resumed = await cli("resume", "mybot", "--http-url", world.endpoints.http)
            assert (resumed.code, resumed.out) == (0, "nothing is paused\n")
            assert (await world.outcome(accepted["id"]))["state"] == "done"
    assert len(emulator.deliveries) == 1


async def test_a_pause_that_ends_by_itself_lets_work_go_on(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {"soon.bin": b"s" * 5000})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            assert (await cli("pause", "--until", "1s", "--url", world.endpoints.websocket)).code == 0
            accepted = await world.push({"destination": "mybot", "kind": "document", "r2_key": "soon.bin"})
            with trio.fail_after(DEADLINE_S):
                assert (await world.outcome(accepted["accepted"][0]["id"]))["state"] == "done"


async def test_an_hours_pause_takes_an_hour_though_the_clock_beside_the_keyboard_is_wrong(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            for wrong_by_s in (-7_200, 7_200):
                clock = SimpleNamespace(time=lambda wrong_by_s=wrong_by_s: time.time() + wrong_by_s)
                monkeypatch.setattr(sys.modules["streamwarm.cli.pause"], "time", clock)
                paused = await cli("pause", "--until", "1h", "--json", "--url", world.endpoints.websocket)
                assert paused.code == 0
                until = datetime.fromisoformat(paused.json()[0]["paused"]["until"]).timestamp()
                assert abs(until - time.time() - 3_600) < 600


async def test_a_mistyped_pause_says_what_is_allowed(object_store: ObjectStore, tmp_path: Path) -> None:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            reach = ("--url", world.endpoints.websocket)
            unknown = await cli("pause", "mybto", *reach)
            assert (unknown.code, "mybot" in unknown.err) == (1, True)
            for wrong in ("soon", "2030-01-01T00:00:00", "9" * 15, "2001-01-01T00:00:00Z", "978307200"):
                told = await cli("pause", "--until", wrong, *reach)
                assert (told.code, "--until" in told.err) == (2, True)
            assert "in the past" in told.err
            assert (await cli("pause", "--url", world.endpoints.http)).code == 2
        gone = await cli("pause", *reach)
        assert (gone.code, "streamwarm serve" in gone.err) == (3, True)
        gone = await cli("resume", "--http-url", "http://127.0.0.1:1")
        assert (gone.code, "--http-url" in gone.err) == (3, True)
