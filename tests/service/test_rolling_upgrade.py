"""A rolling upgrade: two services on one PostgreSQL database. One is the next version, which knows a code more."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from attrs import Factory, define

from streamwarm.cli.client import Client, connect
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.http_sink import HttpSink
from tests.worlds.http_sink import serving as serving_sink
from tests.worlds.postgres import PostgresServer
from tests.worlds.processes import ServeProcess, serving, write_config
from tests.worlds.service import DEADLINE_S, put, running_emulator, telegram_table

CODE = "rate_of_tomorrow"
NEXT_VERSION = f"""
from streamwarm.errors import DestinationError, ErrorCode

code = str.__new__(ErrorCode, {CODE!r})
code._name_, code._value_ = {CODE.upper()!r}, {CODE!r}
ErrorCode._member_map_[code._name_] = ErrorCode._value2member_map_[code._value_] = code
ErrorCode._member_names_.append(code._name_)
assert ErrorCode({CODE!r}) is code and code in list(ErrorCode)

from streamwarm.cli import main
from streamwarm.send.telegram import bot_api

read_reply = bot_api.read_reply


def read_reply_of_tomorrow(*answer, **more):
    if read_reply(*answer, **more).kind == "document":
        raise DestinationError(code, "the rate of tomorrow is spent", permanent=True)
    raise DestinationError(code, "the rate of tomorrow is low", retry_after_s=0.5, counts=False)


bot_api.read_reply = read_reply_of_tomorrow
main()
"""
"""The command line of a version with one more code. Its bot fails documents for good, and other kinds for a while."""

KEY = "upgrade/file.bin"


@define(eq=False)
class HeldSink(HttpSink):
    """Begins to read a request only when `released`."""

    asked: trio.Event = Factory(trio.Event)
    released: trio.Event = Factory(trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.asked.set()
        await self.released.wait()
        await super().serve(stream)


def job(destination: str, kind: str) -> dict[str, str]:
    return {"destination": destination, "kind": kind, "r2_key": KEY}


async def told(client: Client, job_id: str, *, state: str, code: str | None = None) -> Mapping[str, Any]:
    """The next event of this job that has this state, and this error's code or none."""
    with trio.fail_after(DEADLINE_S):
        while True:
            note = await client.notifications.receive()
            params: Mapping[str, Any] = note["params"]
            if note["method"] != "event" or (params["id"], params["state"]) != (job_id, state):
                continue
            if params.get("error", {}).get("code") == code:
                return params


async def streamed(url: str, job_id: str, *, state: str) -> Mapping[str, Any]:
    """The job's event with this state, from the stream that a page reads after it has heard event 1."""
    where = urlsplit(url)
    received = b""
    with trio.fail_after(DEADLINE_S):
        async with await trio.open_tcp_stream(str(where.hostname), where.port or 0) as stream:
            await stream.send_all(b"GET /v1/events HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: 1\r\n\r\n")
            async for piece in stream:
                received += piece
                for line in received.splitlines(keepends=True):
                    if line.startswith(b"data: ") and line.endswith(b"\n"):
                        params: Mapping[str, Any] = json.loads(line.removeprefix(b"data: "))
                        if (params["id"], params.get("state")) == (job_id, state):
                            return params
    raise AssertionError(f"the stream has ended: {received!r}")


async def passes_the_code_on(host: ServeProcess, failed: str, waiting: str) -> None:
    """Ask a host, in every way there is, for a job that failed with the code and for one that waits with it."""
    assert host.process.poll() is None
    async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
        for probe in ("healthz", "readyz"):
            assert (await http.get(f"{host.http}{probe}")).status_code == 200
        error = {"code": CODE, "message": "the rate of tomorrow is spent", "permanent": True}
        found = (await http.get(f"{host.http}v1/jobs/{failed}")).json()
        assert (found["state"], found["error"]) == ("failed", error)
        listed = {one["id"]: one for one in (await http.get(f"{host.http}v1/jobs")).json()["jobs"]}
        assert listed[failed] == found
        assert waiting in listed
        (attempt,) = (await http.get(f"{host.http}v1/jobs/{failed}/attempts")).json()["attempts"]
        assert (attempt["outcome"], attempt["error"]) == ("failed", error)
        attempts = (await http.get(f"{host.http}v1/jobs/{waiting}/attempts")).json()["attempts"]
        assert attempts[0]["error"]["code"] == CODE
        assert (await streamed(host.http, failed, state="failed"))["error"] == error
        assert (await http.get(f"{host.http}v1/stats")).json()["odd_rows"] == 0
    async with connect(host.websocket, None) as client:
        await client.call("watch", {"ids": [failed], "since": 0})
        assert (await told(client, failed, state="failed", code=CODE))["error"] == error


@define
class Upgrade:
    """Two hosts with a folder and one worker each. A job for `slow` keeps a worker until the sink is released."""

    sink: HeldSink
    old: Path
    newer: Path
    launcher: Path

    def old_host(self) -> AbstractAsyncContextManager[ServeProcess]:
        return serving(self.old / "streamwarm.toml", self.old / "log")

    def newer_host(self) -> AbstractAsyncContextManager[ServeProcess]:
        return serving(self.newer / "streamwarm.toml", self.newer / "log", program=[str(self.launcher)])


@asynccontextmanager
async def an_upgrade(store: ObjectStore, postgres: PostgresServer, folder: Path) -> AsyncIterator[Upgrade]:
    await put(store, {KEY: b"a small file"})
    launcher = folder / "next_version.py"
    launcher.write_text(NEXT_VERSION)
    url, sink = postgres.new_schema(), HeldSink()
    async with running_emulator() as emulator, serving_sink(sink):
        slow = {"type": "http", "url": f"http://127.0.0.1:{sink.port}/{{r2_key}}", "allow_private": True}
        tables = {"mybot": telegram_table(emulator), "slow": slow}
        old, newer = folder / "old", folder / "newer"
        for host in (old, newer):
            host.mkdir()
            write_config(host, store, tables, store_url=url, workers=1)
        yield Upgrade(sink, old, newer, launcher)


async def push(client: Client, *jobs: Mapping[str, str]) -> list[str]:
    """Their ids; the client hears of their events."""
    accepted = (await client.call("push", {"jobs": list(jobs), "watch": True}))["accepted"]
    assert len(accepted) == len(jobs)
    return [item["id"] for item in accepted]


async def test_a_host_passes_on_the_code_of_a_newer_host_and_finishes_its_jobs_after_a_roll_back(
    object_store: ObjectStore, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """The newer host gets the bot's jobs because the only worker of the old one is held by the slow destination."""
    async with an_upgrade(object_store, postgres_server, tmp_path) as upgrade, AsyncExitStack() as hosts:
        async with upgrade.old_host() as old:
            async with connect(old.websocket, None) as client:
                (held,) = await push(client, job("slow", "document"))
                with trio.fail_after(DEADLINE_S):
                    await upgrade.sink.asked.wait()
                newer = await hosts.enter_async_context(upgrade.newer_host())
                failed, waiting = await push(client, job("mybot", "document"), job("mybot", "audio"))
                await told(client, failed, state="failed", code=CODE)
                await told(client, waiting, state="waiting", code=CODE)
                await passes_the_code_on(old, failed, waiting)
                upgrade.sink.released.set()
                await told(client, held, state="done")
            old.process.terminate()
            assert await old.ended() == 0
        old = await hosts.enter_async_context(upgrade.old_host())
        await passes_the_code_on(old, failed, waiting)
        newer.process.terminate()
        assert await newer.ended() == 0
        async with connect(old.websocket, None) as client:
            await client.call("watch", {"ids": [failed, waiting], "since": 0})
            await told(client, waiting, state="done")
            (plain,) = await push(client, job("mybot", "video"))
            await told(client, plain, state="done")
            async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
                retried = await http.post(f"{old.http}v1/jobs/{failed}/retry")
            assert (retried.status_code, retried.json()["state"]) == (200, "queued")
            await told(client, failed, state="done")
        old.process.terminate()
        assert await old.ended() == 0
    assert "Traceback" not in (upgrade.old / "log").read_text()
