"""The service under load and what stands around it: how each is reached, whoever started it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import click
from attrs import field, frozen

from load.http_clients import BucketFiller, EmulatorApi, HttpError, ServiceApi
from load.options import TargetOptions
from load.processes import listening_pid
from load.refusing import RefusingChats
from load.trouble import Trouble
from streamwarm.settings.load import load_settings
from streamwarm.settings.schema import Settings
from streamwarm.settings.telegram import TelegramSettings


@frozen
class Target:
    """`emulators` by destination, where an emulator is known to stand in for Telegram; `pid` of the service, None where
    it is another machine's. `first_bytes` gives, by destination and file name, when each upload began (Unix
    seconds), empty where nobody saw it. `trouble` is what the bucket is to have in the middle of a run, `refusing` are
    chats that refuse something all through it."""

    websocket: str
    http: ServiceApi
    token: str | None = field(repr=False)
    bucket: BucketFiller
    destinations: tuple[str, ...]
    emulators: Mapping[str, EmulatorApi]
    pid: int | None
    first_bytes: Callable[[], Mapping[tuple[str, str], float]] = dict
    trouble: Trouble | None = None
    refusing: RefusingChats | None = None

    def distinct_emulators(self) -> list[EmulatorApi]:
        return list({emulator.base_url: emulator for emulator in self.emulators.values()}.values())


async def find_target(options: TargetOptions) -> Target:
    """A service that runs already, as its settings describe it.

    Raises `click.UsageError` where they do not, with what to give; `SettingsError`; `HttpError` where it is away.
    """
    settings = load_settings(options.config)
    bucket = _bucket(settings)
    token = options.token or next(iter(settings.auth.tokens), None)
    secret = str(token.get_secret_value()) if hasattr(token, "get_secret_value") else token
    http = ServiceApi(options.http_url or _address(settings.serve.http, "http", "--http-url"), secret)
    websocket = options.url or _address(settings.serve.listen, "ws", "--url")
    stats = await http.stats()
    names = options.names or tuple(name for name, about in stats["destinations"].items() if about["type"] == "telegram")
    emulators = await _emulators(names, settings)
    refuse_the_real(names, stats, emulators, options)
    return Target(websocket, http, secret, bucket, names, emulators, _pid_of(http.url))


def _bucket(settings: Settings) -> BucketFiller:
    r2 = settings.r2
    if r2.missing():
        raise click.UsageError(
            f"the bucket must be filled with objects to push, and {', '.join(r2.missing())} is not set; give the "
            "service's settings by --config (`streamwarm sandbox` and `serve --sandbox` print theirs), or add --sandbox"
        )
    secret = r2.secret_access_key
    return BucketFiller(
        r2.resolved_endpoint or "",
        r2.bucket or "",
        r2.region,
        r2.access_key_id or "",
        str(secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret),
    )


def _address(listen: Any, scheme: str, option: str) -> str:
    if listen.port == 0:
        raise click.UsageError(f"the settings give port 0, so the service's port is not known here; give {option}")
    return f"{scheme}://{listen}"


async def _emulators(names: tuple[str, ...], settings: Settings) -> dict[str, EmulatorApi]:
    """The emulators among the destinations: what answers under `/sandbox/` on loopback."""
    found: dict[str, EmulatorApi] = {}
    for name in names:
        destination = settings.destinations.get(name)
        base_url = destination.base_url if isinstance(destination, TelegramSettings) else ""
        if urlsplit(base_url).hostname not in ("127.0.0.1", "localhost", "::1"):
            continue
        emulator = EmulatorApi(base_url.rstrip("/"))
        try:
            await emulator.traffic()
        except HttpError:
            continue
        found[name] = emulator
    return found


def refuse_the_real(
    names: tuple[str, ...], stats: Mapping[str, Any], emulators: Mapping[str, EmulatorApi], options: TargetOptions
) -> None:
    if not names:
        raise click.UsageError("the service has no Telegram destination; name one with --destination, or use --sandbox")
    unknown = [name for name in names if name not in stats["destinations"]]
    if unknown:
        has = ", ".join(stats["destinations"]) or "none"
        raise click.UsageError(f"--destination {unknown[0]}: the service has no such destination (it has {has})")
    real = [name for name in names if name not in emulators]
    if real and not options.allow_real:
        raise click.UsageError(
            f"{', '.join(real)} is not known to be an emulator: a load run would send real messages and put objects "
            "into a real bucket. Give the settings of a sandbox with --config, or --allow-real if that is what you want"
        )


def _pid_of(url: str) -> int | None:
    """The process behind a loopback address of ours."""
    where = urlsplit(url)
    if where.hostname in ("127.0.0.1", "localhost", "::1") and where.port and os.path.isdir("/proc/self/fd"):
        return listening_pid(where.port)
    return None
