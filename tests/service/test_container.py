"""What who runs the container loses without these: a build that finds its files, a start that is safe, a health check
that is right. No engine runs here: the `Containerfile` is read, and what it names is run as it stands."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.processes import DEADLINE_S, run_cli, serving, write_config

ROOT = Path(__file__).parents[2]
# Instruction → the arguments of each of its lines.
INSTRUCTIONS: dict[str, list[str]] = {}
for _line in re.sub(r"\\\n", " ", (ROOT / "Containerfile").read_text()).splitlines():
    if _line and not _line.startswith("#"):
        _name, _, _arguments = _line.partition(" ")
        INSTRUCTIONS.setdefault(_name, []).append(_arguments)

# Nowhere: these services start, and reach no bucket.
BUCKET = ObjectStore("http://127.0.0.1:9", "media", "access-key", "secret-key")


def environment() -> dict[str, str]:
    (assignments,) = INSTRUCTIONS["ENV"]
    return dict(assignment.split("=", 1) for assignment in shlex.split(assignments))


async def health(port: int) -> int:
    """The exit code of the container's health check where `serve.http` has that port."""
    (check,) = INSTRUCTIONS["HEALTHCHECK"]
    command = json.loads(check.partition(" CMD ")[2])
    assert command[0] == "python"
    with trio.fail_after(DEADLINE_S):
        ended = await trio.run_process(
            [sys.executable, *command[1:]],
            env={"STREAMWARM_SERVE_HTTP": f"0.0.0.0:{port}", "http_proxy": "http://127.0.0.1:9"},
            capture_stderr=True,
            check=False,
        )
    return ended.returncode


def test_every_file_that_is_copied_is_there_and_let_through_to_the_build() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for arguments in INSTRUCTIONS["COPY"]
        if not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert copied == let_through
    assert [source for source in copied if not (ROOT / source).exists()] == []


async def test_a_container_without_a_token_says_so_and_does_not_start(tmp_path: Path) -> None:
    config = write_config(tmp_path, BUCKET, {})
    given = environment()
    assert given.keys() == {"STREAMWARM_STORE_URL", "STREAMWARM_SERVE_LISTEN", "STREAMWARM_SERVE_HTTP"}
    listeners = ["--listen", given["STREAMWARM_SERVE_LISTEN"], "--http", given["STREAMWARM_SERVE_HTTP"]]
    refused = await run_cli("serve", "--config", str(config), *listeners)
    assert refused.returncode == 2
    assert b"STREAMWARM_AUTH_TOKENS_FILE" in refused.stderr


async def test_the_health_check_tells_a_service_that_turns_from_one_that_is_gone(tmp_path: Path) -> None:
    config = write_config(tmp_path, BUCKET, {})
    async with serving(config, tmp_path / "log") as service:
        port = urlsplit(service.http).port
        assert port is not None
        paused = await run_cli("pause", "--config", str(config), "--http-url", service.http)
        assert paused.returncode == 0, paused.stderr
        assert await health(port) == 0
        service.process.terminate()
        assert await service.ended() == 0
    assert await health(port) == 1
