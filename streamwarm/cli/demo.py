"""`streamwarm demo`: the whole service on real input, with every delivered byte checked."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click
import trio

from streamwarm.cli.client import connect
from streamwarm.cli.common import FAILED, OK, config_option, exits, print_json, read_settings
from streamwarm.cli.display import open_display
from streamwarm.cli.follow import Following
from streamwarm.cli.push import follow_to_end, push_batch
from streamwarm.cli.running import running_service, until_signalled
from streamwarm.net.pool import open_client
from streamwarm.printable import printable
from streamwarm.s3.sigv4 import SigningKeys
from streamwarm.sandbox.fill import put_object
from streamwarm.sandbox.library import MadeObject, demo_library
from streamwarm.sandbox.sandbox import DESTINATION, Sandbox, open_sandbox
from streamwarm.service.log import logger_for
from streamwarm.settings.schema import AuthSettings, LogSettings, Settings, StoreSettings


@click.command()
@click.option("--keep", is_flag=True, help="Leave the service and the sandbox running until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one result line per job, and the summary, as JSON.")
@config_option
@exits
def demo(keep: bool, as_json: bool, config: Path | None) -> None:
    """Start a sandbox and the service, warm a small library, and check every delivered byte.

    The library has every kind and one object over 100 MB. Exit 0 only if every job is done and every digest matches.
    """
    settings = read_settings(config)
    sys.exit(OK if trio.run(_demo, settings, keep, as_json) else FAILED)


async def _demo(settings: Settings, keep: bool, as_json: bool) -> bool:
    with tempfile.TemporaryDirectory(prefix="streamwarm-demo-") as folder:
        async with open_sandbox() as sandbox:
            own = _demo_settings(sandbox.apply(settings), Path(folder))
            library = demo_library()
            _say(as_json, f"Filling a sandbox bucket with {len(library)} objects, {_megabytes(library)} MB …")
            await _fill(sandbox, library)
            async with running_service(own, logger_for(own)) as endpoints:
                _say(as_json, f"Dashboard {endpoints.http}   websocket {endpoints.websocket}")
                started_at = time.monotonic()
                following = await _warm(endpoints.websocket, library, as_json)
                seconds = time.monotonic() - started_at
                wrong = _wrong_deliveries(library, sandbox)
                _summarise(following, library, wrong, seconds, as_json)
                if keep:
                    _say(as_json, "Running until Ctrl-C; this streamwarm.toml reaches the sandbox:")
                    _say(as_json, sandbox.as_toml())
                    await until_signalled()
                else:
                    _say(as_json, "Dashboard and sandbox stop now; `streamwarm demo --keep` leaves them running.")
    return not wrong and following.ok == len(library)


def _demo_settings(settings: Settings, folder: Path) -> Settings:
    """The user's settings with free ports on loopback, no tokens, a store of its own and a quiet log.

    Neither the demo's client nor the dashboard needs a token on loopback.
    """
    listen = attrs.evolve(
        settings.serve,
        listen=settings.serve.listen._replace(host="127.0.0.1", port=0),
        http=settings.serve.http._replace(host="127.0.0.1", port=0),
    )
    return attrs.evolve(
        settings,
        serve=listen,
        auth=AuthSettings(),
        store=StoreSettings(url=f"sqlite:///{folder}/demo.db"),
        log=LogSettings(format=settings.log.format, level="error"),
    )


async def _fill(sandbox: Sandbox, library: Sequence[MadeObject]) -> None:
    keys = SigningKeys()
    async with open_client() as client:
        for made in library:
            await put_object(
                client,
                sandbox.object_store.as_bucket(),
                made.r2_key,
                made.stream(),
                length_bytes=made.size_bytes,
                content_type=made.content_type,
                signing_keys=keys,
                now=time.time,
            )


async def _warm(url: str, library: Sequence[MadeObject], as_json: bool) -> Following:
    jobs = [
        {"destination": DESTINATION, "kind": made.kind.value, "r2_key": made.r2_key, "bytes": made.size_bytes}
        for made in library
    ]
    with open_display(as_json=as_json) as display:
        following = Following(display)
        async with connect(url, None) as client, follow_to_end(client, following):
            await push_batch(client, jobs, following, watch=True)
    return following


def _wrong_deliveries(library: Sequence[MadeObject], sandbox: Sandbox) -> list[str]:
    """The keys whose delivered bytes differ from the object, by the emulator's own count and digest."""
    delivered = {(d.sha256, d.bytes) for d in sandbox.bot_api.deliveries}
    return [made.r2_key for made in library if (made.sha256(), made.size_bytes) not in delivered]


def _summarise(
    following: Following, library: Sequence[MadeObject], wrong: Sequence[str], seconds: float, as_json: bool
) -> None:
    summary: Mapping[str, Any] = {
        "jobs": len(library),
        "done": following.ok,
        "failed": following.failed,
        "bytes": sum(made.size_bytes for made in library),
        "seconds": round(seconds, 2),
        "digests_checked": len(library) - len(wrong),
        "digests_wrong": list(wrong),
    }
    if as_json:
        print_json(summary)
        return
    click.echo(
        f"{following.ok} of {len(library)} jobs done, {_megabytes(library)} MB in {seconds:.1f} s; "
        f"{summary['digests_checked']} of {len(library)} digests match the delivered bytes"
    )
    for key in wrong:
        click.echo(f"WRONG BYTES: {printable(key)}", err=True)


def _megabytes(library: Sequence[MadeObject]) -> str:
    return f"{sum(made.size_bytes for made in library) / 1e6:.0f}"


def _say(as_json: bool, text: str) -> None:
    if not as_json:
        click.echo(text)
