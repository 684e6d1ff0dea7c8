"""How the client commands reach a running service: by the command line's options, else by the settings."""

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
    """The addresses of a running service, from the command line and the settings. `token` None: none is sent."""

    settings: Settings
    url: str | None = None
    http_url: str | None = None
    token: str | None = None

    @property
    def websocket(self) -> str:
        """The websocket's URL. Raises `SettingsError` if it is unknown."""
        return self.url or f"ws://{_known(self.settings.serve.listen, 'serve.listen', '--url')}/"

    @property
    def http(self) -> str:
        """The HTTP API's URL, without a slash at the end. Raises `SettingsError` if it is unknown."""
        return self.http_url or f"http://{_known(self.settings.serve.http, 'serve.http', '--http-url')}"


class Caller(Protocol):
    """Calls the methods of the contract's section 5. Raises `CallError` or `Unreachable`."""

    async def call(self, method: str, params: Mapping[str, Any]) -> Any: ...


@asynccontextmanager
async def open_caller(service: Service) -> AsyncIterator[Caller]:
    """Open a caller over the websocket, or over HTTP if only `--http-url` was given. Raises `Unreachable`."""
    if service.http_url is not None and service.url is None:
        from streamwarm.cli.http_client import open_http_caller  # httpx is slow to import and seldom needed

        async with open_http_caller(service.http, service.token) as caller:
            yield caller
    else:
        async with connect(service.websocket, service.token) as client:
            yield client


class Follower(Caller, Protocol):
    """A caller that also gets jobs' notifications. They must be read, or calls wait."""

    @property
    def notifications(self) -> trio.MemoryReceiveChannel[Mapping[str, Any]]: ...


@asynccontextmanager
async def open_follower(service: Service) -> AsyncIterator[Follower]:
    """Open a follower over the websocket, or over HTTP if only `--http-url` was given. Raises `Unreachable`."""
    if service.http_url is not None and service.url is None:
        from streamwarm.cli.http_client import open_http_client

        async with open_http_client(service.http, service.token) as follower:
            yield follower
    else:
        async with connect(service.websocket, service.token) as client:
            yield client


def client_options(command: F) -> F:
    """Add `--config`, `--url`, `--http-url`, `--token` and `--json` to a command."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print data as JSON, one value per line."),
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
    """Add the client options to a command; it gets a `Service` as `service`, and `as_json`."""

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
            _checked_token(token) or next(iter(settings.auth.tokens), None),
        )
        return command(*args, service=service, **options)

    return run


def _checked_token(token: str | None) -> str | None:
    """Raises `SettingsError` for a token that is given and empty, or that no header can hold."""
    if token is not None and (not token or not token.isascii() or not token.isprintable() or token != token.strip()):
        raise SettingsError("--token: is empty, or has a character that no token has; give one, or leave it out")
    return token


def _checked(url: str | None, flag: str, schemes: tuple[str, ...]) -> str | None:
    if url is None:
        return None
    if not url.startswith(schemes):
        other = "; for a websocket use --url" if flag == "--http-url" else "; for an HTTP address use --http-url"
        raise SettingsError(f"{flag}: must start with {' or '.join(schemes)}{other}")
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        port = 8788 if flag == "--http-url" else 8787
        raise SettingsError(f"{flag}: has no host, or an invalid port; give {schemes[0]}HOST:{port}/")
    return url.rstrip("/") if flag == "--http-url" else url


def _known(address: Address, setting: str, flag: str) -> str:
    if address.port == 0:
        raise SettingsError(f"{setting} has port 0, so the service's port is not known here; give it with {flag}")
    return str(address._replace(host=_dialable(address.host)))


def _dialable(host: str) -> str:
    """The host to connect to. A service that listens on every address is reached on loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
