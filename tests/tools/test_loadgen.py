"""What an operator loses without these: a load test that says the truth, whichever way it went."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import trio
from attrs import evolve
from click.testing import CliRunner
from load.cli import FAILED, INTERRUPTED, UNREACHABLE, USAGE, main
from load.options import TargetOptions
from load.target import refuse_the_real

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.processes import write_config
from tests.worlds.service import World, running_emulator, running_service, settings_for, telegram_table

LOADGEN = Path(__file__).parents[2] / "tools" / "loadgen.py"
DEADLINE_S = 120.0

FIGURES = {
    "success_rate",
    "peak_concurrency",
    "media_per_minute",
    "push_to_done_ms",
    "queue_wait_ms",
    "first_byte_ms",
    "cache_hit_rate",
    "r2_bytes_saved",
    "cpu_s",
    "peak_resident_mb",
    "rate_limited",
    "retries",
    "digests_checked",
}


PHOTOS = ("--mix", "photos", "--size-scale", "0.1", "--repeats", "0")


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("STREAMWARM_")}


async def loadgen(*arguments: str, cwd: Path) -> CompletedProcess[bytes]:
    with trio.fail_after(DEADLINE_S):
        return await trio.run_process(
            [sys.executable, str(LOADGEN), *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment(),
            cwd=cwd,
        )


async def test_a_run_over_real_servers_with_faults_ends_well_and_tells_every_figure(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    ran = await loadgen(
        *("--sandbox", "--jobs", "40", "--clients", "5", "--rate", "40", "--size-scale", "0.02", "--destinations", "2"),
        *("--repeats", "0.3", "--bad", "0.1", "--faults", "0.1", "--source-faults", "0.2", "--r2-latency", "5"),
        *("--json", "--html", str(report)),
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert summary.keys() >= FIGURES
    assert (summary["ok"], summary["success_rate"], summary["wrong"]) == (True, 1.0, [])
    assert (summary["states"], summary["digests_checked"]) == ({"done": 36, "failed": 4}, 36)
    assert summary["digests_by"] == "emulator"
    for spread in ("push_to_done_ms", "queue_wait_ms", "first_byte_ms"):
        assert 0 <= summary[spread]["p50"] <= summary[spread]["p95"] <= summary[spread]["p99"] <= summary[spread]["max"]
    assert 1 <= summary["peak_concurrency"] <= 5
    assert summary["peak_resident_mb"] > 10
    page = report.read_text("utf-8")
    assert page.count("<svg") == 4
    needed = re.findall(r"src\s*=|href\s*=|url\(|@import|<script|https?://(?!www\.w3\.org/2000/svg)", page)
    assert not needed, "the report must need nothing but itself"


@pytest.mark.parametrize(
    ("asked", "kind"), [(("--rotate-key", "1"), "rotated key"), (("--outage", "1"), "outage")], ids=["key", "outage"]
)
async def test_what_a_bucket_that_refuses_everything_cost_is_counted(
    tmp_path: Path, asked: tuple[str, str], kind: str
) -> None:
    # The bucket answers late, so that jobs are left when the trouble begins.
    slow = ("--r2-latency", "50")
    ran = await loadgen("--sandbox", "--jobs", "40", *PHOTOS, *slow, *asked, "--timeout", "10", "--json", cwd=tmp_path)
    summary = json.loads(ran.stdout.splitlines()[-1])
    cost = summary["trouble"]
    assert (cost["kind"], cost["began"]) == (kind, True)
    assert cost["refused_requests"] >= 1
    assert cost["jobs_failed"] == summary["states"].get("failed", 0)
    # After a refused key the service may wait for a minute, which is longer than this run.
    assert (cost["seconds_until_all_ended"] is None) == ("not ended" in summary["states"])
    assert b"requests refused meanwhile" in ran.stdout


async def test_only_one_trouble_of_the_bucket_is_made_and_only_in_a_sandbox(tmp_path: Path) -> None:
    both = await loadgen("--sandbox", "--rotate-key", "--outage", "2", cwd=tmp_path)
    assert both.returncode == USAGE
    assert b"give one of them" in both.stderr
    alone = await loadgen("--outage", "2", cwd=tmp_path)
    assert alone.returncode == USAGE
    assert b"add --sandbox" in alone.stderr


async def test_a_job_that_ends_otherwise_than_it_must_fails_the_run_and_is_named(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with running_emulator() as emulator:
        destinations = {"mybot": telegram_table(emulator)}
        config = write_config(tmp_path, object_store, destinations)
        async with running_service(settings_for(object_store, tmp_path / "streamwarm.db", destinations)) as world:
            ran = await loadgen(
                *("--config", str(config), "--url", world.endpoints.websocket, "--http-url", world.endpoints.http),
                *("--jobs", "6", "--clients", "2", "--mix", "photos", "--size-scale", "0.01", "--repeats", "0"),
                *("--faults", "0.2", "--fault", "refused_for_good", "--json"),
                cwd=tmp_path,
            )
    assert ran.returncode == FAILED, ran.stderr
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert (summary["ok"], summary["as_expected"], summary["digests_checked"]) == (False, 5, 5)
    assert summary["digests_by"] == "emulator"
    assert "expected done, was failed (bad_photo" in summary["wrong"][0]


@asynccontextmanager
async def spoiling_bucket(store: ObjectStore) -> AsyncIterator[str]:
    """The address of a bucket that spoils a byte of every object on its way out, and nothing else."""
    where = urlsplit(store.endpoint_url)

    async def relay(source: trio.SocketStream, sink: trio.SocketStream, *, spoils: bool) -> None:
        async for piece in source:
            sent = bytearray(piece)
            if spoils and len(sent) > 1_000:
                sent[-500] ^= 1
            await sink.send_all(sent)
        await sink.send_eof()

    async def serve(client: trio.SocketStream) -> None:
        bucket = await trio.open_tcp_stream(where.hostname, where.port)
        async with client, bucket, trio.open_nursery() as nursery:
            nursery.start_soon(partial(relay, client, bucket, spoils=False))
            nursery.start_soon(partial(relay, bucket, client, spoils=True))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_corrupted_delivery_fails_the_run_though_the_service_calls_it_done(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with running_emulator() as emulator, spoiling_bucket(object_store) as spoiled_url:
        destinations = {"mybot": telegram_table(emulator)}
        config = write_config(tmp_path, object_store, destinations)
        settings = settings_for(evolve(object_store, endpoint_url=spoiled_url), tmp_path / "a.db", destinations)
        async with running_service(settings) as world:
            ran = await loadgen(*at(config, world), "--jobs", "4", *PHOTOS, "--json", cwd=tmp_path)
    assert ran.returncode == FAILED, ran.stderr
    summary = json.loads(ran.stdout.splitlines()[-1])
    assert (summary["ok"], summary["states"], summary["digests_checked"]) == (False, {"done": 2, "failed": 2}, 0)
    wrong = "\n".join(summary["wrong"])
    assert wrong.count("other bytes were delivered than are stored") == 2, wrong
    assert wrong.count("expected done, was failed (sha256_mismatch") == 2, wrong


async def test_jobs_that_never_end_fail_the_run_when_its_time_is_up_or_it_is_interrupted_or_the_service_goes(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with running_emulator() as emulator:
        destinations = {"mybot": telegram_table(emulator)}
        config = write_config(tmp_path, object_store, destinations)
        async with running_service(settings_for(object_store, tmp_path / "a.db", destinations)) as world:
            await world.client.call("pause", {})
            arguments = (*at(config, world), "--jobs", "4", *PHOTOS, "--json")
            late = await loadgen(*arguments, "--timeout", "2", cwd=tmp_path)
            interrupted = await started(arguments, tmp_path)
            interrupted.send_signal(signal.SIGINT)
            stopped = await told(interrupted)
            orphaned = await started(arguments, tmp_path)
            world.shutdown.signal()
            gone = await told(orphaned)
    assert late.returncode == FAILED
    assert json.loads(late.stdout.splitlines()[-1])["states"] == {"not ended": 4}
    assert b"WRONG: not every job had ended after 2 s" in late.stderr
    assert (interrupted.returncode, stopped["wrong"][0]) == (INTERRUPTED, "interrupted")
    assert (orphaned.returncode, gone["states"]) == (FAILED, {"not ended": 4})
    assert gone["wrong"][0].startswith("the service went away")


def at(config: Path, world: World) -> tuple[str, ...]:
    return ("--config", str(config), "--url", world.endpoints.websocket, "--http-url", world.endpoints.http)


async def started(arguments: tuple[str, ...], cwd: Path) -> trio.Process:
    """A load generator all of whose jobs are pushed: it says so every five seconds."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(LOADGEN), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(),
    )
    said = b""
    with trio.fail_after(DEADLINE_S):
        while b"in flight 4" not in said:
            piece = await process.stderr.receive_some()
            assert piece, said
            said += piece
    return process


async def told(process: trio.Process) -> dict[str, Any]:
    """The JSON of its last line, once it has ended."""
    with trio.fail_after(DEADLINE_S):
        said = b"".join([bytes(piece) async for piece in process.stdout])
        await process.wait()
    return dict(json.loads(said.splitlines()[-1]))


def test_a_destination_that_may_be_the_real_telegram_is_not_pushed_to_unasked() -> None:
    stats = {"destinations": {"mybot": {"type": "telegram"}}}
    with pytest.raises(click.UsageError, match="--allow-real"):
        refuse_the_real(("mybot",), stats, {}, TargetOptions())
    refuse_the_real(("mybot",), stats, {}, TargetOptions(allow_real=True))


@pytest.mark.parametrize(
    ("arguments", "code", "remedy"),
    [
        (["--sandbox", "--jobs", "0"], USAGE, "1<=x<="),
        (["--sandbox", "--mix", "songs"], USAGE, "photos"),
        (["--sandbox", "--rate", "0"], USAGE, "x>0"),
        (["--sandbox", "--rate", "5", "--in-flight", "2"], USAGE, "give one of them"),
        (["--sandbox", "--fault", "cut_answer"], USAGE, "--faults 0.05"),
        (["--sandbox", "--config", "streamwarm.toml"], USAGE, "leave out --sandbox"),
        (["--sandbox", "--html", "no/such/folder/report.html"], USAGE, "make it first"),
        (["--r2-latency", "150"], USAGE, "add --sandbox"),
        (["--jobs", "3"], USAGE, "--sandbox"),
        (["--config", "absent.toml"], USAGE, "absent.toml"),
    ],
)
def test_options_that_cannot_be_meant_end_with_2_and_say_what_to_do(
    arguments: list[str], code: int, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == code
    assert remedy in " ".join(ran.output.split())


def test_a_service_that_is_not_there_ends_with_3_and_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "streamwarm.toml").write_text(
        '[r2]\nendpoint_url = "http://127.0.0.1:1"\nbucket = "b"\naccess_key_id = "k"\nsecret_access_key = "canary"\n'
    )
    ran = CliRunner().invoke(main, ["--http-url", "http://127.0.0.1:1"])
    assert ran.exit_code == UNREACHABLE
    assert "http://127.0.0.1:1" in ran.output
    assert "canary" not in ran.output
