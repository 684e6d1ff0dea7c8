"""Commands that are interrupted, piped, mistyped or given what they cannot use end in words and with the right code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.operator import operating
from tests.worlds.service import (
    DEADLINE_S,
)


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
