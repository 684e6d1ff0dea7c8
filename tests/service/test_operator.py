"""An operator's day on the command line: look, find what failed and why, mend it, prove the settings."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from attrs import evolve, frozen

from streamwarm.sandbox.bot_api import BotApiEmulator
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import AuthSettings
from tests.worlds.command_line import cli
from tests.worlds.processes import write_config
from tests.worlds.service import (
    CHAT,
    DEADLINE_S,
    TOKEN,
    World,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)


@frozen
class Operator:
    world: World
    emulator: BotApiEmulator
    reach: tuple[str, ...]

    async def push_failing(self, count: int, folder: str) -> list[str]:
        """Jobs that have failed: the bucket has no such objects."""
        jobs = [{"destination": "mybot", "kind": "document", "r2_key": f"{folder}/{n}.bin"} for n in range(count)]
        ids = [item["id"] for item in (await self.world.push(*jobs))["accepted"]]
        await self.world.outcomes(ids)
        return ids


@pytest.fixture(params=["--url", "--http-url"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def operating(object_store: ObjectStore, folder: Path, way: str = "--url") -> AsyncIterator[Operator]:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, folder / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            url = world.endpoints.websocket if way == "--url" else world.endpoints.http
            yield Operator(world, emulator, (way, url))


async def test_what_failed_is_listed_explained_retried_and_forgotten_by_filter(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    async with operating(object_store, tmp_path, way) as op:
        ids = await op.push_failing(3, f"gone{way}")
        listed = await cli("jobs", "--state", "failed", *op.reach)
        rows = [line.split("\t") for line in listed.out.splitlines()]
        assert [row[0] for row in rows] == ids[::-1]
        assert {row[4] for row in rows} == {f"gone{way}/{n}.bin" for n in range(3)}
        assert all(row[7].startswith("source_not_found: ") for row in rows)

        two = await cli("jobs", "-n", "2", "--json", *op.reach)
        assert ([job["id"] for job in two.json()], two.err) == (ids[:0:-1], "")
        assert "--limit 0" in (await cli("jobs", "-n", "2", *op.reach)).err

        shown = await cli("jobs", "show", ids[0], *op.reach)
        assert "what to do: check the key" in shown.out

        await put(object_store, {f"gone{way}/{n}.bin": b"found" * 100 for n in range(2)})
        await op.world.client.call("watch", {"ids": ids})
        retried = await cli("jobs", "retry", "--state", "failed", "--destination", "mybot", *op.reach)
        assert (retried.code, retried.out) == (0, "retried 3 of 3 jobs\n")
        ended = await op.world.outcomes(ids)
        assert [job["state"] for job in ended] == ["done", "done", "failed"]

        again = await cli("jobs", "retry", ids[0], *op.reach)
        assert (again.code, again.out) == (1, "retried 0 of 1 jobs\n")
        [forgot] = (await cli("jobs", *op.reach, "forget", "--all", "--json")).json()
        assert forgot == {"matched": 1, "changed": 1}
        assert (await cli("find", "mybot", "document", f"gone{way}/0.bin", *op.reach)).code == 0
        assert (await cli("jobs", "forget", ids[0], *op.reach)).code == 0
        assert (await cli("find", "mybot", "document", f"gone{way}/0.bin", *op.reach)).code == 1
        assert (await cli("jobs", "show", ids[2], *op.reach)).code == 1


async def test_a_command_that_could_mean_everything_is_refused(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        for words in (["cancel"], ["retry", "x", "--all"], ["forget", "--all", "--state", "done"]):
            refused = await cli("jobs", *words, *op.reach)
            assert (refused.code, "--all" in refused.err) == (2, True)
        missing = await cli("jobs", "cancel", "nobody", *op.reach)
        assert (missing.code, "match no job" in missing.err) == (1, True)


async def test_a_hostile_key_does_not_steer_the_terminal(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        job = {"destination": "mybot", "kind": "document", "r2_key": "x\x1b[2J\nid: forged"}
        [taken] = (await op.world.push(job))["accepted"]
        await op.world.outcome(taken["id"])
        shown = await cli("jobs", "show", taken["id"], *op.reach)
        assert "\nr2_key: x\\x1b[2J\\nid: forged\n" in shown.out
        for told in (shown, await cli("jobs", *op.reach), await cli("status", *op.reach)):
            assert "\x1b" not in told.out
            assert "\nid: forged" not in told.out


async def test_status_tells_queue_workers_and_destinations(object_store: ObjectStore, tmp_path: Path, way: str) -> None:
    async with operating(object_store, tmp_path, way) as op:
        await op.push_failing(2, "never")
        told = await cli("status", *op.reach)
        lines = told.out.splitlines()
        assert lines[0] == "queue: 2 failed"
        assert lines[1].startswith("workers: 0 of 5 busy")
        assert lines[2] == "mybot (telegram): 2 failed"
        [stats] = (await cli("status", "--json", *op.reach)).json()
        assert stats["queue"]["failed"] == 2


async def test_a_wrong_token_is_told_with_the_way_to_give_the_right_one(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        guarded = evolve(settings, auth=AuthSettings(tokens=("right-token",)))  # type: ignore[arg-type]
        async with running_service(guarded, token="right-token") as world:
            url = world.endpoints.websocket if way == "--url" else world.endpoints.http
            for command in (["status"], ["jobs"], ["find", "mybot", "photo", "a"], ["pause"], ["resume"]):
                refused = await cli(*command, way, url, "--token", "wrong")
                assert (refused.code, "--token" in refused.err) == (3, True)
                assert (await cli(*command, way, url, "--token", "right-token")).code in {0, 1}


async def test_check_proves_bucket_clock_bot_chats_and_store(object_store: ObjectStore, tmp_path: Path) -> None:
    async with running_emulator() as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator, handoff="auto")})
        good = await cli("check", "--json", "--config", str(config))
        assert good.code == 0, good.out
        assert [(line["check"], line["ok"]) for line in good.json()] == [
            ("store", True),
            ("bucket", True),
            ("clock", True),
            ("mybot: bot", True),
            (f"mybot: chat {CHAT}", True),
            ("mybot: hand-off", True),
        ]
        assert not (tmp_path / "streamwarm.db").exists()

        wrong = {
            "mybot": telegram_table(emulator, chats=[CHAT, -77]),
            "nobot": telegram_table(emulator, token="1:nobody"),
        }
        bad = evolve(object_store, secret_access_key="wrong-secret")
        config = write_config(tmp_path, bad, wrong)
        told = await cli("check", "--config", str(config))
        assert told.code == 1
        listing = await cli("push", "--prefix", "x", "--config", str(config), *("--url", "ws://127.0.0.1:1/"))
        assert listing.code == 3
        rows = {row[1]: row for row in (line.split("\t") for line in told.out.splitlines())}
        assert {what for what, row in rows.items() if row[0] == "FAILED"} == {
            *("bucket", "mybot: chat -77", "nobot: bot", f"nobot: chat {CHAT}"),
        }
        assert "@BotFather" in rows["nobot: bot"][2]
        assert rows[f"nobot: chat {CHAT}"][2] == "not asked: the bot itself failed, see its line"
        for secret in ("wrong-secret", TOKEN, "1:nobody"):
            assert secret not in told.out + told.err


async def test_check_of_nothing_names_what_is_missing(tmp_path: Path) -> None:
    config = tmp_path / "streamwarm.toml"
    config.write_text(f"[store]\nurl = 'sqlite:///{tmp_path}/nowhere/s.db'\n")
    told = await cli("check", "--config", str(config))
    assert told.code == 1
    for words in ("nowhere", "r2.bucket", "[destinations.mybot]"):
        assert words in told.out
    config.write_text("[store]\nulr = 1\n")
    assert (await cli("check", "--config", str(config))).code == 2


async def test_migrations_that_start_together_make_one_schema_also_beside_a_service(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(migrate_ok, url)
    with sqlite3.connect(tmp_path / "s.db") as database:
        versions = [version for (version,) in database.execute("SELECT version FROM schema_migrations")]
    database.close()
    assert versions == sorted(set(versions))
    async with operating(object_store, tmp_path):
        assert (await cli("migrate", "--store", url)).code == 0
    refused = await cli("migrate", "--store", f"sqlite:///{tmp_path}/nowhere/s.db")
    assert (refused.code, "folder exists" in refused.err) == (3, True)


async def migrate_ok(url: str) -> None:
    process = await trio.run_process(
        [sys.executable, "-m", "streamwarm", "migrate", "--json", "--store", url], capture_stdout=True
    )
    assert json.loads(process.stdout)["schema_version"] >= 1


async def test_a_live_status_in_a_pipe_prints_line_after_line_and_an_interrupt_exits_130(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with operating(object_store, tmp_path) as op:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "streamwarm", "status", "--watch", "--json", "--every", "0.2", *op.reach],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        received = b""
        with trio.fail_after(DEADLINE_S):
            while received.count(b"\n") < 2:
                received += await process.stdout.receive_some()
            process.send_signal(signal.SIGINT)
            said = b"".join([piece async for piece in process.stderr])
            assert await process.wait() == 130
        assert said == b"streamwarm: interrupted\n"
        assert json.loads(received.splitlines()[0])["workers"]["size"] == 5
        await process.stdout.aclose()


async def test_an_interrupted_push_tells_what_goes_on_without_it(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        await op.world.client.call("pause", {})
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "streamwarm", "push", "a.pdf", "b.pdf", "too-long" * 200, *op.reach],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with trio.fail_after(DEADLINE_S):
            # What was refused is printed last of an answer.
            assert b" rejected " in await process.stdout.receive_some()
            process.send_signal(signal.SIGINT)
            said = b"".join([piece async for piece in process.stderr])
            assert await process.wait() == 130
        assert said.startswith(b"streamwarm: interrupted; 2 accepted jobs go on")
        await process.stdout.aclose()


async def test_a_reader_that_has_enough_ends_the_command_quietly(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "streamwarm", "status", "--watch", "--every", "0.2", *op.reach],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with trio.fail_after(DEADLINE_S):
            await process.stdout.receive_some()
            await process.stdout.aclose()
            said = b"".join([piece async for piece in process.stderr])
            assert (await process.wait(), said) == (-signal.SIGPIPE, b"")


async def test_a_name_that_is_not_utf_8_is_refused_in_words(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    name = os.fsdecode(b"\xff.mp4")
    async with operating(object_store, tmp_path, way) as op:
        pushed = await cli("push", name, *op.reach)
        assert (pushed.code, "invalid_job: r2_key holds a lone surrogate" in pushed.out) == (1, True)
        found = await cli("find", "mybot", "video", name, *op.reach)
        assert found.code in {1, 2}
        assert "UTF-8" in found.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("stauts",), "Did you mean 'status'?"),
        (("status", "--url", "http://127.0.0.1:8788"), "use --http-url"),
        (("status", "--url", "ws://[::1"), "ws://HOST:8787/"),
        (("status", "--http-url", "http://"), "http://HOST:8788/"),
    ],
)
async def test_a_slip_of_the_hand_is_wrong_usage_and_told_with_what_is_right(words: tuple[str, ...], told: str) -> None:
    refused = await cli(*words)
    assert refused.code == 2
    assert told in refused.err


def test_what_a_terminal_cannot_show_or_a_disk_cannot_hold_ends_in_words() -> None:
    command = [sys.executable, "-m", "streamwarm"]
    with Path("/dev/full").open("wb") as full:
        # Buffered, as it is for who has not set PYTHONUNBUFFERED: what was not written is tried again at the end.
        environ = {**os.environ, "PYTHONUNBUFFERED": ""}
        refused = subprocess.run(
            [*command, "--help"], env=environ, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    closed_input = f"{shlex.join(command)} push - --url ws://127.0.0.1:1/ <&-"
    closed = subprocess.run(["sh", "-c", closed_input], capture_output=True, check=False, timeout=60)
    assert (closed.returncode, closed.stderr.count(b"Traceback")) == (3, 0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_complete(shell: str) -> None:
    environ = {**os.environ, "_STREAMWARM_COMPLETE": f"{shell}_source"}
    script = subprocess.run(["streamwarm"], env=_with_scripts(environ), capture_output=True, check=True, timeout=60)
    assert b"_STREAMWARM_COMPLETE" in script.stdout
    environ = {**os.environ, "_STREAMWARM_COMPLETE": f"{shell}_complete"}
    environ |= {"COMP_WORDS": "streamwarm jobs --state ", "COMP_CWORD": "3" if shell != "fish" else ""}
    offered = subprocess.run(["streamwarm"], env=_with_scripts(environ), capture_output=True, check=True, timeout=60)
    assert b"failed" in offered.stdout


def _with_scripts(environ: dict[str, str]) -> dict[str, str]:
    """The console script of the interpreter that runs the tests."""
    return {**environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"}


async def test_a_push_is_followed_to_its_end_also_where_only_http_can_be_reached(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    keys = [f"over-http/{n}.bin" for n in range(3)]
    await put(object_store, {key: key.encode() * 100 for key in keys})
    async with operating(object_store, tmp_path, "--http-url") as op:
        pushed = await cli("push", *keys, "over-http/missing.bin", "--json", *op.reach)
        states = {job["r2_key"]: (job["state"], "result" in job) for job in pushed.json()}
        assert pushed.code == 1
        assert states == {**dict.fromkeys(keys, ("done", True)), "over-http/missing.bin": ("failed", False)}
        assert (await cli("push", keys[0], "--no-wait", *op.reach)).code == 0
        assert (await cli("push", keys[0], "--http-url", op.world.endpoints.http, *op.reach)).code == 0
    gone = await cli("push", keys[0], *op.reach)
    assert (gone.code, "--http-url" in gone.err) == (3, True)
    wrong = await cli("push", keys[0], "--http-url", object_store.endpoint_url)
    assert (wrong.code, "HTTP API" in wrong.err) == (3, True)


async def test_a_mistyped_prefix_destination_or_file_is_told_and_not_taken_for_success(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with operating(object_store, tmp_path) as op:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "reach.toml").write_text(
            f"[r2]\nendpoint_url = '{object_store.endpoint_url}'\nbucket = '{object_store.bucket}'\n"
            f"access_key_id = '{object_store.access_key_id}'\nsecret_access_key = '{object_store.secret_access_key}'\n"
        )
        nothing = await cli("push", "--prefix", "zzz/", "--config", "reach.toml", *op.reach)
        assert (nothing.code, nothing.out) == (0, "")
        assert "no key in the bucket begins with 'zzz/'" in nothing.err
        cold = await cli("find", "mybto", "photo", "a.png", *op.reach)
        assert cold.code == 1
        assert "no destination is called mybto; the service has: mybot" in cold.err
        absent = await cli("push", "jobs.jsonl", "--kind", "photo", *op.reach)
        assert absent.code == 2
        assert "jobs.jsonl cannot be read" in absent.err
        async with httpx.AsyncClient(base_url=op.world.endpoints.http, trust_env=False) as http:
            answer = await http.get("/v1/media/mybto/photo/a.png")
        assert answer.status_code == 404
        assert "configured: mybot" in answer.json()["detail"]


async def test_a_job_left_alone_is_named_so_that_it_can_be_asked_for_later(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with operating(object_store, tmp_path) as op:
        pushed = await cli("push", "later.pdf", "--kind", "document", "--no-wait", *op.reach)
        ids = [job["id"] for job in (await op.world.client.call("list", {}))["jobs"]]
        assert len(ids) == 1
        assert f"(job {ids[0]})" in pushed.out


async def test_an_address_that_ends_in_a_slash_may_be_joined_to_a_path_that_begins_with_one(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with operating(object_store, tmp_path) as op:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(op.world.endpoints.http.rstrip("/") + "//healthz")
        assert (answer.status_code, answer.text) == (200, "ok\n")
