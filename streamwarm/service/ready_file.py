"""The addresses of a running service, and the file in which other programs find them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from streamwarm.errors import SettingsError


@frozen
class Endpoints:
    """The URLs of a running service; empty for a member that does not serve clients."""

    websocket: str
    http: str


def drop_stale_ready_file(path: Path | None) -> None:
    """Remove the file that a killed service left, so that no program uses its addresses while this one starts.

    Call it only once the store is open: before, the file may belong to a running service.
    """
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def ready_file(path: Path | None, endpoints: Endpoints) -> Iterator[None]:
    """Keep the file with the addresses at `path` inside this block. It is written whole or not at all. Raises
    `SettingsError`."""
    if path is None:
        yield
        return
    content = {"websocket": endpoints.websocket, "http": endpoints.http, "pid": os.getpid()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as exc:
        raise SettingsError(f"serve.ready_file: {path} cannot be written: {exc.strerror}") from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
