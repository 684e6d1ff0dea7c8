"""`streamwarm media refresh`: has the service compare the bucket's listing with the records."""

from __future__ import annotations

import click
import trio

from streamwarm.cli.bulk import call_patiently
from streamwarm.cli.common import print_json, print_line
from streamwarm.cli.reach import Service, client_command, open_caller
from streamwarm.model import JsonObject
from streamwarm.warm_record import MediaWarning


@click.command()
@click.option("--destination", "-d", help="Only this destination's records.")
@click.option("--prefix", help="Only keys that begin with this.")
@click.option("--warning", type=click.Choice([word.value for word in MediaWarning]), help="Only records with it.")
@click.option("--always", is_flag=True, help="Warm anew what has not changed, too.")
@click.option("--dry-run", is_flag=True, help="Only count what would be done.")
@client_command
def refresh(
    destination: str | None,
    prefix: str | None,
    warning: str | None,
    always: bool,
    dry_run: bool,
    service: Service,
    as_json: bool,
) -> None:
    """Compare the bucket's listing with the records: warm anew what changed, mark what is gone.

    The service lists the bucket, which may take minutes. If the listing breaks off, nothing is changed. New objects,
    which have no record, are only counted: push them with `streamwarm push --prefix`.
    """
    given = {"destination": destination, "prefix": prefix, "warning": warning}
    params: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    found = trio.run(_refresh, service, params | {"always": always, "dry_run": dry_run})
    if as_json:
        print_json(found)
        return
    verb = "would be warmed anew" if dry_run else "queued to be warmed anew"
    print_line(f"{found['changed']} changed, {found['gone']} gone, {found['new']} new; {found['queued']} {verb}")


async def _refresh(service: Service, params: JsonObject) -> JsonObject:
    async with open_caller(service) as caller:
        found: JsonObject = await call_patiently(caller, "refresh", params)
    return found
