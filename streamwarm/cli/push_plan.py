"""`streamwarm push --dry-run`: prints what a push would do, and pushes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import click

from streamwarm.cli.bulk import call_patiently, record_pages
from streamwarm.cli.common import print_json
from streamwarm.cli.job_input import JsonJob
from streamwarm.cli.reach import Caller
from streamwarm.printable import printable

MOST_ACCOUNTS = 10
"""How many records of one key are looked at: there is one for each account that a destination ever had."""

NEW, CHANGED, WARM, COMPARED = "new", "changed", "warm", "compared"
_MEANS = {NEW: "to be sent", CHANGED: "to be sent anew", WARM: "warm already", COMPARED: "to be compared first"}


async def print_plan(caller: Caller, batches: AsyncIterator[list[JsonJob]], *, as_json: bool) -> int:
    """Print a line per job, and how many there are of each sort. Returns how many jobs there were."""
    found: Counter[str] = Counter()
    stats = await call_patiently(caller, "stats", {})
    accounts = {name: one.get("account", "") for name, one in stats["destinations"].items()}
    async for batch in batches:
        for job in batch:
            sort = await _sort_of(caller, job, accounts)
            found[sort] += 1
            if as_json:
                print_json({**job, "would_be": sort})
            else:
                cells = (sort, job.get("destination", "?"), job.get("kind", "?"), job.get("r2_key", "?"))
                click.echo("\t".join(printable(str(cell)) for cell in cells))
    counts = ", ".join(f"{found[sort]} {means}" for sort, means in _MEANS.items() if found[sort])
    click.echo(f"streamwarm: nothing was pushed: {counts or 'there are no jobs'}", err=True)
    return found.total()


async def _sort_of(caller: Caller, job: JsonJob, accounts: Mapping[str, str]) -> str:
    refresh = job.get("refresh")
    lookup: dict[str, Any] = {name: job[name] for name in ("destination", "kind") if name in job}
    by = "sha256" if job.get("sha256") else "r2_key"
    record: Mapping[str, Any] | None = None
    if len(lookup) == 2 and by in job:
        record = await _record(caller, lookup, job, accounts)
    if record is None:
        return NEW
    if refresh == "always":
        return CHANGED
    if refresh == "never" or by == "sha256":
        return WARM
    etag = job.get("source_etag")
    if etag is None:
        return COMPARED
    return WARM if etag == record.get("source_etag") else CHANGED


async def _record(
    caller: Caller, lookup: Mapping[str, Any], job: JsonJob, accounts: Mapping[str, str]
) -> Mapping[str, Any] | None:
    """The record that answers. `find` has an old record compared, and what changed sent, so by key the list is asked.

    Of the keys that begin with this one, the key itself comes first; each account has at most one record of it.
    """
    digest, account = job.get("sha256"), accounts.get(lookup["destination"])
    if job.get("r2_key"):
        async with aclosing(record_pages(caller, {**lookup, "prefix": job["r2_key"]}, MOST_ACCOUNTS)) as pages:
            async for page in pages:
                for record in page["records"]:
                    if record["r2_key"] != job["r2_key"]:
                        break
                    if record["account"] == account and digest in (None, record["sha256"]):
                        return dict(record)
                if page["records"]:
                    break
    return await call_patiently(caller, "find", {**lookup, "sha256": digest}) if digest else None
