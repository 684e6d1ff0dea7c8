"""What survives the process: kill -9, SIGTERM, a second SIGTERM, and what the command line says of it all."""

from __future__ import annotations

import json
import random
import signal
import socket
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import trio

from streamwarm.cli.client import connect
from streamwarm.sandbox.bot_api import Fault, FaultKind
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.processes import run_cli, serving, write_config
from tests.worlds.service import CHAT, DEADLINE_S, TOKEN, put, running_emulator, telegram_table

JOBS = 100


async def states(url: str, job_ids: list[str]) -> Counter[str]:
    async with connect(url, None) as client:
        found = [await client.call("get", {"id": job_id}) for job_id in job_ids]
    return Counter(job["state"] for job in found)


async def test_a_hundred_jobs_survive_kill_9_and_are_each_warmed_once(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    objects = {f"kill/{n}.bin": random.Random(n).randbytes(20_000) for n in range(JOBS)}
    await put(object_store, objects)
    log = tmp_path / "log"
    async with running_emulator(latency_s=0.02) as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)})
        async with serving(config, log) as service, connect(service.websocket, None) as client:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in objects]
            reply = await client.call("push", {"jobs": jobs})
            job_ids = [item["id"] for item in reply["accepted"]]
            with trio.fail_after(DEADLINE_S):
                while len(emulator.deliveries) < JOBS // 3:
                    await trio.sleep(0.01)
            service.process.kill()
        async with serving(config, log) as service:
            with trio.fail_after(DEADLINE_S):
                while (await states(service.websocket, job_ids))["done"] < JOBS:
                    await trio.sleep(0.1)
            service.process.terminate()
            assert await service.ended() == 0
    with sqlite3.connect(tmp_path / "streamwarm.db") as database:
        warm = database.execute("SELECT count(*) FROM media_cache WHERE status = 'ready'").fetchone()
        done = database.execute("SELECT count(*) FROM events WHERE state = 'done'").fetchone()
    database.close()
    assert (warm[0], done[0]) == (JOBS, JOBS)


async def test_sigterm_lets_a_running_transfer_finish_and_exits_0(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {"drain.bin": b"d" * 100_000, "later.bin": b"l" * 1000})
    async with running_emulator() as emulator:
        emulator.inject(Fault(FaultKind.SLOW_ANSWER, seconds=1.0))
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)}, workers=1)
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in ("drain.bin", "later.bin")]
            await client.call("push", {"jobs": jobs})
            with trio.fail_after(DEADLINE_S):
                while not emulator.traffic.upload_bytes:
                    await trio.sleep(0.01)
            service.process.terminate()
            assert await service.ended() == 0
    assert [delivery.bytes for delivery in emulator.deliveries] == [100_000]
    assert stored_states(tmp_path) == {"drain.bin": ("done", 1), "later.bin": ("queued", 0)}


async def test_a_second_sigterm_ends_it_at_once_and_gives_the_attempt_back(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"held.bin": b"h" * 100_000})
    async with running_emulator() as emulator:
        emulator.inject(Fault(FaultKind.SLOW_ANSWER, seconds=600.0))
        table = telegram_table(emulator)
        config = write_config(tmp_path, object_store, {"mybot": table}, serve={"drain_s": 600})
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            job = {"destination": "mybot", "kind": "document", "r2_key": "held.bin"}
            await client.call("push", {"jobs": [job]})
            with trio.fail_after(DEADLINE_S):
                while not emulator.traffic.upload_bytes:
                    await trio.sleep(0.01)
            service.process.send_signal(signal.SIGTERM)
            with trio.fail_after(DEADLINE_S):
                while "draining" not in (tmp_path / "log").read_text():
                    await trio.sleep(0.01)
            service.process.send_signal(signal.SIGTERM)
            assert await service.ended() == 0
    # The answer was lost, and it is sent again at once: it waits until the backlog looks next, if it still does.
    assert stored_states(tmp_path)["held.bin"] in {("queued", 0), ("waiting", 0)}


def stored_states(folder: Path) -> dict[str, tuple[str, int]]:
    database = sqlite3.connect(folder / "streamwarm.db")
    rows = database.execute("SELECT r2_key, state, attempt FROM jobs").fetchall()
    database.close()
    return {key: (state, attempt) for key, state, attempt in rows}


async def test_push_and_find_from_the_command_line_tell_by_their_exit_codes(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"cli/a.png": b"a" * 5000, "cli/b.mp3": b"b" * 5000, "cli/sub/": b""})
    async with running_emulator() as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)})
        async with serving(config, tmp_path / "log") as service:
            reach = ["--config", str(config), "--url", service.websocket]

            pushed = await run_cli("push", "--prefix", "cli/", "--json", *reach)
            assert pushed.returncode == 0, pushed.stderr
            lines = [json.loads(line) for line in pushed.stdout.splitlines()]
            assert {(line["r2_key"], line["kind"], line["state"]) for line in lines} == {
                ("cli/a.png", "photo", "done"),
                ("cli/b.mp3", "audio", "done"),
            }

            found = await run_cli("find", "mybot", "photo", "cli/a.png", *reach)
            assert found.returncode == 0
            assert found.stdout.decode().strip() == next(
                line["result"]["file_id"] for line in lines if line["kind"] == "photo"
            )
            assert (await run_cli("find", "mybot", "video", "cli/a.png", *reach)).returncode == 1

            missing = await run_cli("push", "cli/nothing.png", *reach)
            assert missing.returncode == 1
            assert b"source_not_found" in missing.stdout

            stdin = b'{"r2_key": "cli/a.png"}\n\n"cli/b.mp3"\n'
            again = await run_cli("push", "-", *reach, stdin=stdin)
            assert again.returncode == 0
            assert again.stdout.count(b"was warm already") == 2

            assert (await run_cli("push", "x", "--destination", "nobot", *reach)).returncode == 2
            wrong_port = await run_cli("push", "x", "--url", service.http.replace("http", "ws"))
            assert wrong_port.returncode == 3
            assert len(wrong_port.stderr.splitlines()) == 1
            assert (await run_cli("push", "-", *reach, stdin=b"{nonsense\n")).returncode == 2
        gone = await run_cli("find", "mybot", "photo", "cli/a.png", *reach)
        assert gone.returncode == 3
        assert b"streamwarm serve" in gone.stderr


async def test_serve_without_a_bucket_says_what_is_missing_and_names_the_sandbox(tmp_path: Path) -> None:
    config = tmp_path / "streamwarm.toml"
    config.write_text(f"[store]\nurl = 'sqlite:///{tmp_path}/s.db'\n")
    refused = await run_cli("serve", "--config", str(config))
    assert refused.returncode == 2
    for word in (b"r2.bucket", b"r2.access_key_id", b"r2.secret_access_key", b"--sandbox"):
        assert word in refused.stderr


async def test_listening_to_the_world_without_a_token_is_refused(object_store: ObjectStore, tmp_path: Path) -> None:
    config = write_config(tmp_path, object_store, {})
    refused = await run_cli("serve", "--config", str(config), "--listen", "0.0.0.0:0")
    assert refused.returncode == 2
    assert b"auth.tokens" in refused.stderr


async def test_a_killed_services_address_is_gone_before_the_next_one_serves(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "ready.json").write_text('{"http": "http://127.0.0.1:1/", "websocket": "ws://127.0.0.1:1/", "pid": 1}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # Its port is in use, so it comes no further than to its listeners.
        config = write_config(tmp_path, object_store, {}, serve={"http": f"127.0.0.1:{taken.getsockname()[1]}"})
        refused = await run_cli("serve", "--config", str(config))
    assert refused.returncode == 2
    assert not (tmp_path / "ready.json").exists()


async def test_a_second_service_on_the_same_store_is_told_so(object_store: ObjectStore, tmp_path: Path) -> None:
    async with running_emulator() as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator)})
        async with serving(config, tmp_path / "log"):
            second = await run_cli("serve", "--config", str(config))
            assert second.returncode == 3
            assert b"in use by another streamwarm service" in second.stderr


async def test_no_secret_is_in_the_log_or_the_store_after_every_sort_of_failure(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"secret.bin": b"s" * 5000})
    await put(object_store, {"handed-over.pdf": b"s" * 5000}, content_type="application/pdf")
    faults = (
        Fault(FaultKind.CLOSE_UPLOAD),
        Fault(FaultKind.REFUSED, status=500, description=f"at /bot{TOKEN}/sendDocument"),
        Fault(FaultKind.RAW_ANSWER, status=404, body=f"no such path /bot{TOKEN}/"),
        Fault(FaultKind.NO_ANSWER),
    )
    async with running_emulator() as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator, chats=[CHAT], handoff="auto")})
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, None) as client:
            for fault in faults:
                emulator.inject(fault)
            for key in ("secret.bin", "handed-over.pdf"):
                job: dict[str, Any] = {"destination": "mybot", "kind": "document", "r2_key": key}
                accepted = (await client.call("push", {"jobs": [job]}))["accepted"][0]
                with trio.fail_after(DEADLINE_S):
                    while (await client.call("get", {"id": accepted["id"]}))["state"] not in {"done", "failed"}:
                        await trio.sleep(0.1)
            assert emulator.deliveries[-1].origin == "url"
            service.process.terminate()
            await service.ended()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name != "streamwarm.toml")
    assert b"sendDocument" in written  # the failures were written down …
    for secret in (TOKEN, object_store.secret_access_key, "X-Amz-Signature"):
        assert secret.encode() not in written  # … without the secrets


async def test_a_sandbox_never_touches_the_store_of_the_settings(tmp_path: Path) -> None:
    ready, real = tmp_path / "ready.json", tmp_path / "real.db"
    config = tmp_path / "streamwarm.toml"
    config.write_text(
        f"[serve]\nlisten = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\nready_file = '{ready}'\n"
        f"[store]\nurl = 'sqlite:///{real}'\n"
    )
    async with serving(config, tmp_path / "log", "--sandbox") as service:
        async with connect(service.websocket, None) as client:
            await client.call("push", {"jobs": [{"destination": "mybot", "kind": "photo", "r2_key": "a.png"}]})
        service.process.send_signal(signal.SIGINT)
        assert await service.ended() == 130
    assert not real.exists()
