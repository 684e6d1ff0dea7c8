"""A sandbox and a service of the run's own, each part a process: what is measured is the service alone."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define, field

from load.http_clients import BucketFiller, EmulatorApi, ServiceApi
from load.options import Mix, SandboxOptions
from load.refusing import choose_refusing
from load.service import START_S, ServiceEnded, StartError, run_service, stop, write_config
from load.target import Target
from load.trouble import Trouble, TroubleKind
from streamwarm.sandbox.object_store import ObjectStore, ObjectStoreSettings, serve_object_store

HERE = Path(__file__).parent
MAX_CHATS = 100


@define(eq=False)
class Uploads:
    """When each upload's first byte came, by destination and file name; of several attempts the first counts."""

    destinations: Mapping[int, str]
    begun: dict[tuple[str, str], float] = field(factory=dict)

    async def read(self, lines: trio.abc.ReceiveStream, announced: trio.MemorySendChannel[str]) -> None:
        """What the emulator says, while it lives. Raises `StartError` at its end."""
        buffered = b""
        async for piece in lines:
            *whole, buffered = (buffered + piece).split(b"\n")
            for line in whole:
                said = json.loads(line)
                if "base_url" in said:
                    announced.send_nowait(said["base_url"])
                else:
                    self.begun.setdefault((self.destinations[said["bot"]], said["file"]), said["at"])
        raise StartError("the Bot API emulator ended; what it said of that is above")


@asynccontextmanager
async def open_sandbox(options: SandboxOptions, folder: Path, mix: Mix = Mix.MIXED) -> AsyncIterator[Target]:
    """Bucket, emulator and service inside this block. Chats that are to refuse a kind refuse one of `mix`.

    Raises `StartError`, `ObjectStoreError`.
    """
    tokens = {f"bot{number}": _token() for number in range(1, options.destinations + 1)}
    chats = {
        name: [-1001000000000 - number * MAX_CHATS - chat for chat in range(options.chats)]
        for number, name in enumerate(tokens)
    }
    uploads = Uploads({int(token.partition(":")[0]): name for name, token in tokens.items()})
    async with trio.open_nursery() as nursery:
        keys = ObjectStoreSettings(secrets.token_hex(10), secrets.token_hex(20))
        store: ObjectStore = await nursery.start(serve_object_store, keys)
        trouble = _trouble(options)
        every_chat = [chat for each in chats.values() for chat in each]
        emulator_url = await nursery.start(_run_emulator, list(tokens.values()), every_chat, options, uploads)
        endpoint_url = await nursery.start(_run_front, store.endpoint_url, options)
        if trouble is not None:
            endpoint_url = await nursery.start(trouble.serve, endpoint_url)
        tables = {
            f"destinations.{name}": _destination(token, chats[name], emulator_url, options)
            for name, token in tokens.items()
        }
        config = _write_config(folder, store, endpoint_url, tables, options)
        ready = await nursery.start(_run_service, config, folder / "ready.json", options)
        emulator = EmulatorApi(emulator_url)
        yield Target(
            websocket=ready["websocket"],
            http=ServiceApi(ready["http"], None),
            token=None,
            bucket=BucketFiller(store.endpoint_url, store.bucket, "auto", store.access_key_id, store.secret_access_key),
            destinations=tuple(tokens),
            emulators=dict.fromkeys(tokens, emulator),
            pid=ready["pid"],
            first_bytes=lambda: uploads.begun,
            trouble=trouble,
            refusing=choose_refusing(chats, options.refusing_chats, mix) if options.refusing_chats else None,
        )
        nursery.cancel_scope.cancel()


def _trouble(options: SandboxOptions) -> Trouble | None:
    if options.rotate_key_s is not None:
        return Trouble(TroubleKind.ROTATED_KEY, options.rotate_key_s)
    return None if options.outage_s is None else Trouble(TroubleKind.OUTAGE, options.outage_s)


def _token() -> str:
    return f"{secrets.randbelow(9 * 10**8) + 10**8}:{secrets.token_urlsafe(26)[:35]}"


def _destination(token: str, chats: list[int], base_url: str, options: SandboxOptions) -> dict[str, Any]:
    rates = "telegram" if options.telegram_rates else "none"
    table = {"type": "telegram", "token": token, "chats": chats, "base_url": base_url}
    return {**table, "local_server": True, "rates": rates}


async def _run_service(
    config: Path, ready: Path, options: SandboxOptions, task_status: trio.TaskStatus[dict[str, Any]]
) -> None:
    """A service that dies in mid-run is a finding, not the run's end: its clients see it go, and say so."""
    try:
        await run_service(config, ready, _flags(options), options.program, task_status=task_status)
    except ServiceEnded as ended:
        sys.stderr.write(f"{ended}\n")


async def _run_emulator(
    tokens: list[str],
    chats: list[int],
    options: SandboxOptions,
    uploads: Uploads,
    task_status: trio.TaskStatus[str],
) -> None:
    given = {"tokens": tokens, "chats": chats, "latency_s": options.telegram_latency_s, "rates": options.telegram_rates}
    announce, announced = trio.open_memory_channel[str](1)
    async with _helper("emulator.py", given) as process, trio.open_nursery() as nursery:
        nursery.start_soon(uploads.read, process.stdout, announce)
        with trio.fail_after(START_S):
            task_status.started(await announced.receive())


async def _run_front(endpoint_url: str, options: SandboxOptions, task_status: trio.TaskStatus[str]) -> None:
    """A slow or breaking front where one is asked for; else the bucket itself, which costs nothing."""
    if not options.r2_latency_s and not options.source_faults:
        task_status.started(endpoint_url)
        return
    where = urlsplit(endpoint_url)
    given = {"host": where.hostname, "port": where.port, "latency_s": options.r2_latency_s}
    async with _helper("front.py", {**given, "cut_share": options.source_faults, "seed": 1}) as process:
        with trio.fail_after(START_S):
            announced = await process.stdout.receive_some()
        if announced:
            task_status.started(json.loads(announced)["url"])
            await process.wait()
        raise StartError("the front of the bucket ended; what it said of that is above")


@asynccontextmanager
async def _helper(name: str, given: Mapping[str, Any]) -> AsyncIterator[Any]:
    """A process of ours that ends when its standard input does, however we end."""
    command = [sys.executable, "-P", str(HERE / name), json.dumps(given)]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        await stop(process)


def _write_config(
    folder: Path,
    store: ObjectStore,
    endpoint_url: str,
    destinations: Mapping[str, Mapping[str, Any]],
    options: SandboxOptions,
) -> Path:
    keep_s = options.keep_ended_s
    tables: dict[str, Mapping[str, Any]] = {
        "serve": {"listen": "127.0.0.1:0", "http": "127.0.0.1:0", "ready_file": str(folder / "ready.json")},
        "store": {"url": options.store or f"sqlite:///{folder / 'streamwarm.db'}"},
        "r2": {
            "endpoint_url": endpoint_url,
            "bucket": store.bucket,
            "access_key_id": store.access_key_id,
            "secret_access_key": store.secret_access_key,
        },
        "log": {"level": "warning"},
        "records": {"trust_s": 0, "revalidate": False} if options.compares_always else {},
        "queue": {} if keep_s is None else {"keep_done_s": keep_s, "keep_failed_s": keep_s},
        **destinations,
    }
    return write_config(folder / "streamwarm.toml", tables)


def _flags(options: SandboxOptions) -> list[str]:
    given = [(name, getattr(options, name)) for name in ("workers", "processes")]
    return [word for name, value in given if value for word in (f"--{name}", str(value))]
