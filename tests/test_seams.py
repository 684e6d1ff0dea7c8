"""A service that asks the machine for the time, a random number, a thread or a socket by itself cannot be replayed: a
fault that a simulation finds would not come again from the same seed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamwarm

ROOT = Path(streamwarm.__file__).parent

MODULES = {"time", "random", "uuid", "secrets"}
"""Modules of which nothing may be called."""

NAMES = {
    "os.urandom",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "trio.to_thread.run_sync",
    "trio.open_tcp_stream",
    "trio.open_tcp_listeners",
    "trio.open_ssl_over_tcp_stream",
    "trio.open_unix_socket",
    "trio.serve_tcp",
    "trio.socket.getaddrinfo",
    "trio.socket.socket",
    "socket.create_connection",
    "threading.Thread",
}

ALLOWED = {
    "service/machine.py": {
        "time.time",
        "time.monotonic",
        "random.random",
        "secrets.token_hex",
        "trio.to_thread.run_sync",
    },
    "net/stream.py": {"trio.open_tcp_stream"},
    "net/guard.py": {"trio.socket.getaddrinfo"},
    "accept/clients.py": {"trio.open_tcp_listeners"},
    "backlog/sqlite/file.py": {"time.sleep"},
}
"""The seam itself, and the real network below it. SQLite's file waits, in a thread, while another process changes its
journal; alone it never does."""

OUTSIDE = ("cli/", "sandbox/")
"""Commands run on the user's machine and end; the sandbox stands for other machines."""


def uses(path: Path) -> Iterator[tuple[int, str]]:
    """Where a file names something that only a machine gives: line and full name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {(alias.asname or alias.name).split(".")[0]: alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = full_name(node, imported)
            if name is not None and (("." in name and name.split(".")[0] in MODULES) or name in NAMES):
                yield node.lineno, name


def full_name(node: ast.expr, imported: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return imported.get(node.id)
    if isinstance(node, ast.Attribute) and (base := full_name(node.value, imported)) is not None:
        return f"{base}.{node.attr}"
    return None


def inside() -> list[str]:
    files = (str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))
    return sorted(file for file in files if not file.startswith(OUTSIDE))


def test_every_fault_of_a_simulation_comes_again_because_the_machine_is_only_asked_through_its_seam() -> None:
    found = [(file, line, name) for file in inside() for line, name in uses(ROOT / file)]
    assert [use for use in found if use[2] not in ALLOWED.get(use[0], set())] == []


def test_no_exception_stands_for_something_that_is_gone() -> None:
    unused = {file: names - {name for _, name in uses(ROOT / file)} for file, names in ALLOWED.items()}
    assert {file: names for file, names in unused.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time\nx = time.time()",
        "from time import monotonic\nx = monotonic()",
        "from random import random as draw\nf(draw)",
        "import uuid\nx = uuid.uuid4()",
        "import os\nx = os.urandom(8)",
        "from datetime import datetime\nx = datetime.now()",
        "import trio\nawait_ = trio.to_thread.run_sync",
        "from trio.to_thread import run_sync as go\nf(go)",
        "import trio\nf(trio.open_tcp_stream)",
    ],
)
def test_a_use_of_the_machine_is_found_however_it_is_written(source: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(source)
    assert len(list(uses(file))) == 1
