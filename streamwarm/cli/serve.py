"""`streamwarm serve`: runs the service until a signal stops it."""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import attrs
import click
import trio

from streamwarm.cli.common import INTERRUPTED, OK, config_option, exits, read_settings
from streamwarm.cli.running import serve_until_signalled
from streamwarm.settings.schema import Settings, StoreSettings


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Websocket address (serve.listen).")
@click.option("--http", metavar="HOST:PORT", help="HTTP address (serve.http).")
@click.option("--workers", type=int, help="Transfers at a time (queue.workers).")
@click.option("--processes", type=int, help="Processes (serve.processes).")
@click.option("--store", metavar="URL", help="sqlite:///PATH, postgresql://… or memory: (store.url).")
@click.option("--sandbox", is_flag=True, help="Also start a sandbox; use its bucket and bot, and a temporary store.")
@config_option
@exits
def serve(
    listen: str | None,
    http: str | None,
    workers: int | None,
    processes: int | None,
    store: str | None,
    sandbox: bool,
    config: Path | None,
) -> None:
    """Run the service: intake, backlog, dispatcher, workers, HTTP.

    SIGTERM or Ctrl-C drains: running transfers have serve.drain_s to finish. A second signal ends it at once.
    """
    flags = {
        "serve.listen": listen,
        "serve.http": http,
        "serve.processes": processes,
        "queue.workers": workers,
        "store.url": store,
    }
    settings = read_settings(config, flags)
    _allow_many_connections()
    if sandbox:
        interrupted = trio.run(_serve_with_sandbox, settings, store is not None)
    else:
        interrupted = trio.run(serve_until_signalled, settings)
    sys.exit(INTERRUPTED if interrupted else OK)


def _allow_many_connections() -> None:
    """Raise the limit of open files. The listeners allow some 1,800 clients; a shell usually allows 1,024 files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve_with_sandbox(settings: Settings, keep_store: bool) -> bool:
    """Serve with a sandbox, and with a temporary store unless `--store` was given (`keep_store`).

    An emulator must not mark the jobs of a real backlog as done.
    """
    # Imported here, so that a real service does not load the sandbox's code.
    from streamwarm.sandbox.sandbox import open_sandbox

    with tempfile.TemporaryDirectory(prefix="streamwarm-sandbox-") as folder:
        async with open_sandbox() as sandbox:
            click.echo(sandbox.as_toml(), err=True)
            own = sandbox.apply(settings)
            if not keep_store:
                own = attrs.evolve(own, store=StoreSettings(url=f"sqlite:///{folder}/streamwarm.db"))
            return await serve_until_signalled(own)
