"""Where a running service is reached, and the file that says so to other programs."""

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
    """Where a running service is reached."""

    websocket: str
    http: str


def drop_stale_ready_file(path: Path | None) -> None:
    """Remove what a killed service left, so that nobody is led to its address while this one starts. To be called once
    the store is ours: another service's file must not go."""
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def ready_file(path: Path | None, endpoints: Endpoints) -> Iterator[None]:
    """The file that tells where to connect, there while the service serves; written whole or not at all."""
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
