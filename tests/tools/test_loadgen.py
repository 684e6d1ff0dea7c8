"""What an operator loses without these: a load test that says the truth, whichever way it went."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from subprocess import CompletedProcess

import click
import pytest
import trio
from click.testing import CliRunner
from load.cli import FAILED, UNREACHABLE, USAGE, main
from load.options import TargetOptions
from load.target import refuse_the_real
from process_world import write_config
from service_world import running_emulator, running_service, settings_for, telegram_table

from streamwarm.sandbox.object_store import ObjectStore

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


async def loadgen(*arguments: str, cwd: Path) -> CompletedProcess[bytes]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("STREAMWARM_")}
    with trio.fail_after(DEADLINE_S):
        return await trio.run_process(
            [sys.executable, str(LOADGEN), *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environ,
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
