"""Starts the source and the sink of a workload, each a process, and tells how busy they were."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import frozen
from load.processes import usage

from peers.workloads import Workload

HERE = Path(__file__).parent
BUCKET, TOKEN, CHAT = "media", "4242:bench-token", -1001
ACCESS_KEY_ID, SECRET_ACCESS_KEY = "bench-key", "bench-secret"


@frozen
class FarSide:
    pid: int
    url: str
    ca_file: str | None

    def cpu_s(self) -> float:
        taken = usage(self.pid)
        return taken.cpu_s if taken else 0.0

    async def taken(self) -> dict[str, int]:
        """How many objects went through, and their bytes."""
        ca = ["--cacert", self.ca_file] if self.ca_file else []
        done = await trio.run_process(["curl", "-sS", *ca, f"{self.url}/taken"], capture_stdout=True)
        return dict(json.loads(done.stdout))


@frozen
class FarSides:
    source: FarSide
    sink: FarSide

    @property
    def each(self) -> tuple[FarSide, FarSide]:
        return self.source, self.sink

    def as_job(self) -> dict[str, Any]:
        """What a peer is told of them."""
        return {
            "source": self.source.url,
            "sink": self.sink.url,
            "ca_file": self.source.ca_file,
            "bucket": BUCKET,
            "token": TOKEN,
            "chat": CHAT,
            "access_key_id": ACCESS_KEY_ID,
            "secret_access_key": SECRET_ACCESS_KEY,
        }


@asynccontextmanager
async def open_far_sides(workload: Workload, certificate: list[str]) -> AsyncIterator[FarSides]:
    """Both inside this block. `certificate` is its file and its key's for TLS, empty for plain HTTP."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(_far_side("source", workload.r2_latency_ms, certificate))
        sink = await stack.enter_async_context(_far_side("sink", workload.telegram_latency_ms, certificate))
        yield FarSides(source, sink)


@asynccontextmanager
async def _far_side(role: str, latency_ms: int, certificate: list[str]) -> AsyncIterator[FarSide]:
    command = ["node", str(HERE / "far_side.js"), role, str(latency_ms), *certificate]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        with trio.fail_after(30):
            port = int(await process.stdout.receive_some())
        scheme = "https" if certificate else "http"
        yield FarSide(process.pid, f"{scheme}://localhost:{port}", certificate[0] if certificate else None)
    finally:
        process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
            await process.wait()


def make_certificate(folder: Path) -> list[str]:
    """A certificate for localhost, of two days: its file and its key's."""
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", key, "-out", certificate, "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return [certificate, key]
