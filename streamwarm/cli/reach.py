"""How the client commands find a running service: by the settings, or by what the command line says."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import click
import trio
from attrs import frozen

from streamwarm.cli.client import connect
from streamwarm.cli.common import F, config_option, exits, read_settings
from streamwarm.errors import SettingsError
from streamwarm.settings.schema import Address, Settings


@frozen
class Service:
    """Where a running service is, as far as the command line and the settings tell. `token` None: none is needed."""

    settings: Settings
    url: str | None = None
    http_url: str | None = None
    token: str | None = None

    @property
    def websocket(self) -> str:
        """Its websocket. Raises `SettingsError` if that cannot be known."""
        return self.url or f"ws://{_known(self.settings.serve.listen, 'serve.listen', '--url')}/"

    @property
    def http(self) -> str:
        """Its HTTP API, without a slash at the end. Raises `SettingsError` if that cannot be known."""
        return self.http_url or f"http://{_known(self.settings.serve.http, 'serve.http', '--http-url')}"


class Caller(Protocol):
    """Carries out one method of the contract's section 5. Raises `CallError` or `Unreachable`."""

    async def call(self, method: str, params: Mapping[str, Any]) -> Any: ...


@asynccontextmanager
async def open_caller(service: Service) -> AsyncIterator[Caller]:
    """The websocket, or HTTP where only `--http-url` says where the service is. Raises `Unreachable`."""
    if service.http_url is not None and service.url is None:
        from streamwarm.cli.http_client import open_http_caller  # httpx is slow to import, and seldom needed here

        async with open_http_caller(service.http, service.token) as caller:
            yield caller
    else:
        async with connect(service.websocket, service.token) as client:
            yield client


class Follower(Caller, Protocol):
    """A caller that also hears of jobs; the notifications must be read, or calls wait."""

    @property
    def notifications(self) -> trio.MemoryReceiveChannel[Mapping[str, Any]]: ...


@asynccontextmanager
async def open_follower(service: Service) -> AsyncIterator[Follower]:
    """As `open_caller`. Raises `Unreachable`."""
    if service.http_url is not None and service.url is None:
        from streamwarm.cli.http_client import open_http_client

        async with open_http_client(service.http, service.token) as follower:
            yield follower
    else:
        async with connect(service.websocket, service.token) as client:
            yield client


def client_options(command: F) -> F:
    """`--config`, `--url`, `--http-url`, `--token` and `--json`, as they come from the command line."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print data as JSON, one value a line."),
        click.option("--token", envvar="STREAMWARM_TOKEN", help="Bearer token (default: the first of auth.tokens)."),
        click.option(
            "--http-url", envvar="STREAMWARM_HTTP_URL", help="HTTP API of the service (default: from serve.http)."
        ),
        click.option("--url", envvar="STREAMWARM_URL", help="Websocket of the service (default: from serve.listen)."),
        config_option,
    ):
        command = option(command)
    return command


def client_command(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options above; the command gets a `Service` as `service`, and `as_json`."""

    @client_options
    @exits
    @functools.wraps(command)
    def run(
        *args: Any, config: Path | None, url: str | None, http_url: str | None, token: str | None, **options: Any
    ) -> Any:
        settings = read_settings(config, destinations=False)
        service = Service(
            settings,
            _checked(url, "--url", ("ws://", "wss://")),
            _checked(http_url, "--http-url", ("http://", "https://")),
            token or next(iter(settings.auth.tokens), None),
        )
        return command(*args, service=service, **options)

    return run


def _checked(url: str | None, flag: str, schemes: tuple[str, ...]) -> str | None:
    if url is None:
        return None
    if not url.startswith(schemes):
        other = "; a websocket goes with --url" if flag == "--http-url" else "; an HTTP address goes with --http-url"
        raise SettingsError(f"{flag}: must start with {' or '.join(schemes)}{other}")
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        port = 8788 if flag == "--http-url" else 8787
        raise SettingsError(f"{flag}: names no host, or no port that there is; give {schemes[0]}HOST:{port}/")
    return url.rstrip("/") if flag == "--http-url" else url


def _known(address: Address, setting: str, flag: str) -> str:
    if address.port == 0:
        raise SettingsError(f"{setting} has port 0, so the service's port is not known here; name it with {flag}")
    return str(address._replace(host=_dialable(address.host)))


def _dialable(host: str) -> str:
    """A service that listens on every address is reached on loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
