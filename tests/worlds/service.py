"""A whole service over real servers: SeaweedFS for R2, the emulator for Telegram, SQLite on disk."""

from __future__ import annotations

import hashlib
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio
from attrs import define

from streamwarm.cli.client import Client, connect
from streamwarm.cli.follow import ENDED
from streamwarm.net.pool import open_client
from streamwarm.s3.sigv4 import S3Request, Signer, SigningKeys, object_path
from streamwarm.sandbox.bot_api import BotApiEmulator, Chat, EmulatorSettings, serve_bot_api
from streamwarm.sandbox.fill import put_object
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.service.machine import real_machine
from streamwarm.service.nursery import run_service
from streamwarm.service.ready_file import Endpoints
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.destinations import parse_destinations
from streamwarm.settings.schema import Address, QueueSettings, R2Settings, ServeSettings, Settings, StoreSettings
from streamwarm.settings.secret import SecretStr
from streamwarm.watch.observations import Observation

TOKEN = "4242:AA-first_bot"
OTHER_TOKEN = "5151:AA-other_bot"
CHAT = -1001
DEADLINE_S = 60.0


def telegram_table(emulator: BotApiEmulator, token: str = TOKEN, **more: Any) -> dict[str, Any]:
    """A bot without rates, unless `more` says otherwise: what most tests push would take minutes by Telegram's."""
    table = {"type": "telegram", "token": token, "chats": [CHAT], "base_url": emulator.base_url, "rates": "none"}
    return {**table, **more}


def settings_for(
    store: ObjectStore,
    database: Path,
    destinations: Mapping[str, Mapping[str, Any]],
    *,
    queue: QueueSettings | None = None,
    drain_s: float = 30.0,
) -> Settings:
    free = Address("127.0.0.1", 0)
    return Settings(
        serve=ServeSettings(listen=free, http=free, drain_s=drain_s),
        store=StoreSettings(url=f"sqlite:///{database}"),
        queue=queue or QueueSettings(),
        r2=R2Settings(
            endpoint_url=store.endpoint_url,
            bucket=store.bucket,
            access_key_id=store.access_key_id,
            secret_access_key=SecretStr(store.secret_access_key),
        ),
        destinations=parse_destinations(destinations),
    )


async def put(
    store: ObjectStore, objects: Mapping[str, bytes], *, content_type: str = "application/octet-stream"
) -> None:
    keys = SigningKeys()
    async with open_client() as client:
        for key, content in objects.items():
            await put_object(
                client,
                store.as_bucket(),
                key,
                content,
                length_bytes=len(content),
                content_type=content_type,
                signing_keys=keys,
                now=time.time,
            )


def delete_now(store: ObjectStore, key: str) -> None:
    """Delete an object. Blocks this thread for the moment that it takes."""
    path, nothing = object_path(store.bucket, key), hashlib.sha256(b"").hexdigest()
    signed = S3Request("DELETE", urlsplit(store.endpoint_url).netloc, path, (), {}, nothing)
    signer = Signer(store.access_key_id, store.secret_access_key, SigningKeys(), "auto")
    url = store.endpoint_url.rstrip("/") + signed.target.decode()
    request = urllib.request.Request(url, headers=dict(signer.headers(signed, now=time.time())), method="DELETE")
    urllib.request.urlopen(request, timeout=DEADLINE_S).close()


async def delete(store: ObjectStore, key: str) -> None:
    await trio.to_thread.run_sync(delete_now, store, key)


@asynccontextmanager
async def running_emulator(*, chats: Sequence[int] = (CHAT,), **settings: Any) -> AsyncIterator[BotApiEmulator]:
    groups = {chat: Chat("supergroup", "Warm-up") for chat in chats}
    async with trio.open_nursery() as nursery:
        emulator_settings = EmulatorSettings([TOKEN, OTHER_TOKEN], groups, **settings)
        yield await nursery.start(partial(serve_bot_api, emulator_settings))
        nursery.cancel_scope.cancel()


@define
class World:
    """A running service and a client of it."""

    settings: Settings
    endpoints: Endpoints
    shutdown: Shutdown
    client: Client
    observed: list[Observation]

    async def push(self, *jobs: Mapping[str, Any], watch: bool = True) -> dict[str, Any]:
        return await self.client.call("push", {"jobs": list(jobs), "watch": watch})

    async def outcome(self, job_id: str) -> dict[str, Any]:
        """The job once it has ended; it must have been watched."""
        return (await self.outcomes([job_id]))[0]

    async def outcomes(self, job_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The jobs once all have ended, in that order."""
        with trio.fail_after(DEADLINE_S):
            ended: dict[str, dict[str, Any]] = {}
            asked = list(job_ids)
            while True:
                for job_id in asked:
                    job = await self.client.call("get", {"id": job_id})
                    if job["state"] in ENDED:  # not by the event alone: it may tell of an earlier end
                        ended[job_id] = job
                if len(ended) == len(set(job_ids)):
                    break
                note = await self.client.notifications.receive()
                params = note["params"]
                is_end = note["method"] == "event" and params["id"] in job_ids and params["state"] in ENDED
                asked = [params["id"]] if is_end else []
            return [ended[job_id] for job_id in job_ids]


@asynccontextmanager
async def running_service(settings: Settings, token: str | None = None) -> AsyncIterator[World]:
    """The service and one client, which shows `token`; drained at the end of the block."""
    shutdown = Shutdown()
    observed: list[Observation] = []
    with trio.fail_after(DEADLINE_S * 2):
        async with trio.open_nursery() as nursery:
            endpoints = await nursery.start(partial(run_service, settings, shutdown, observed.append, real_machine()))
            async with connect(endpoints.websocket, token) as client:
                yield World(settings, endpoints, shutdown, client, observed)
            shutdown.signal()
