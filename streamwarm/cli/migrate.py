"""`streamwarm migrate`: brings the store's schema up to date."""

from __future__ import annotations

from pathlib import Path

import click
import trio

from streamwarm.cli.common import config_option, exits, print_json, read_settings
from streamwarm.service.machine import real_machine
from streamwarm.service.open import migrate_store


@click.command()
@click.option("--store", metavar="URL", help="sqlite:///PATH or postgresql://… (store.url).")
@click.option("--json", "as_json", is_flag=True, help="Print the schema's version as JSON.")
@config_option
@exits
def migrate(store: str | None, as_json: bool, config: Path | None) -> None:
    """Apply schema migrations to the store, creating it if need be.

    `serve` does the same when it starts. Safe when several start at once, and beside a running service.
    """
    settings = read_settings(config, {"store.url": store}, destinations=False)
    version = trio.run(migrate_store, settings, real_machine())
    if as_json:
        print_json({"schema_version": version})
    else:
        click.echo("the schema is up to date" + (f": version {version}" if version is not None else ""))
