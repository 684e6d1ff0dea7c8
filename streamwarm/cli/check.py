"""`streamwarm check`: checks the settings against the real systems."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import click
import httpx
import trio

from streamwarm.cli.common import FAILED, OK, config_option, exits, print_json, read_settings
from streamwarm.cli.table import print_table
from streamwarm.cli.times import rfc3339
from streamwarm.errors import SettingsError, SourceError, StoreUnavailable
from streamwarm.redact import make_redactor
from streamwarm.retry import parse_http_date
from streamwarm.send.checks import Finding, Report, account_words, check_handoff, check_s3, check_telegram
from streamwarm.send.s3.destination import S3Destination
from streamwarm.service.machine import Machine, real_machine
from streamwarm.service.open import check_store, open_pool, open_source, stored_source_pause
from streamwarm.settings.accounts import account_of
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.schema import Settings
from streamwarm.settings.secrets import secrets_in_settings
from streamwarm.settings.telegram import TelegramSettings

WITHIN_S = 30.0
"""How long one system's check may take, in seconds. A slower system would be useless to a bot as well."""

SKEW_S = 300.0
"""How wrong this machine's clock may be, in seconds. S3 refuses signatures that are 15 minutes off
(RequestTimeTooSkewed); a clock that is 5 minutes off will get there."""

_Check = Callable[[Report], Awaitable[None]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one finding per line, as JSON.")
@config_option
@exits
def check(as_json: bool, config: Path | None) -> None:
    """Check the settings against the real systems: store, bucket, clock, bots and their chats.

    Sends nothing and changes nothing. Exit 0 if all is well, 1 if a check failed.
    """
    findings = trio.run(_findings, read_settings(config))
    if as_json:
        for finding in findings:
            print_json({"check": finding.what, "ok": finding.ok, "detail": finding.detail})
    else:
        rows = [("ok" if finding.ok else "FAILED", finding.what, finding.detail) for finding in findings]
        print_table(("", "check", "found"), rows)
    sys.exit(OK if all(finding.ok for finding in findings) else FAILED)


async def _findings(settings: Settings) -> list[Finding]:
    """Run all checks at the same time. The findings are in a fixed order."""
    machine = real_machine()
    async with open_pool(settings.pool, machine) as client:
        checks: list[tuple[str, _Check]] = [
            ("store", partial(_store, settings, machine)),
            ("bucket", partial(_bucket, settings, machine)),
            ("clock", partial(_clock, settings, client, machine)),
            *_destination_checks(settings, client, machine),
        ]
        results: dict[str, list[Finding]] = {}
        async with trio.open_nursery() as nursery:
            for what, check_one in checks:
                nursery.start_soon(_run_check, what, check_one, results)
    redact = make_redactor(secrets_in_settings(settings))
    return [Finding(f.what, f.ok, redact(f.detail)) for what, _ in checks for f in results[what]]


def _destination_checks(settings: Settings, client: httpx.AsyncClient, machine: Machine) -> list[tuple[str, _Check]]:
    checks: list[tuple[str, _Check]] = []
    redact = make_redactor(secrets_in_settings(settings))
    for name, destination in settings.destinations.items():
        if isinstance(destination, TelegramSettings):
            checks.append((name, partial(check_telegram, name, destination, client, redact)))
            if destination.handoff == "auto":
                checks.append((f"{name} hand-off", partial(_handoff, settings, name, destination)))
        elif isinstance(destination, S3Settings):
            bucket = S3Destination(
                name, destination, client, now=machine.now, new_token=machine.new_token, redact=redact
            )
            checks.append((name, partial(check_s3, name, destination, bucket)))
        else:
            checks.append((name, partial(_unchecked, name, account_of(destination))))
    if not checks:
        checks.append(("destinations", _no_destinations))
    return checks


async def _handoff(settings: Settings, name: str, destination: TelegramSettings, report: Report) -> None:
    report(check_handoff(name, destination, settings.r2.resolved_endpoint or ""))


async def _unchecked(name: str, account: str, report: Report) -> None:
    said = f"its settings are valid; nothing is sent there until a job is; {account_words(account)}"
    report(Finding(name, True, said))


async def _run_check(what: str, check_one: _Check, results: dict[str, list[Finding]]) -> None:
    found = results[what] = []
    with trio.move_on_after(WITHIN_S) as scope:
        await check_one(found.append)
    if scope.cancelled_caught:
        found.append(Finding(what, False, f"no answer within {WITHIN_S:g} s; check the address and the network"))


async def _store(settings: Settings, machine: Machine, report: Report) -> None:
    try:
        report(Finding("store", True, await check_store(settings, machine)))
    except (StoreUnavailable, SettingsError) as exc:
        report(Finding("store", False, str(exc)))


async def _bucket(settings: Settings, machine: Machine, report: Report) -> None:
    try:
        async with open_source(settings, machine) as source:
            await source.check()
    except (SourceError, SettingsError) as exc:
        report(Finding("bucket", False, str(exc)))
    else:
        report(Finding("bucket", True, f"{settings.r2.bucket} at {settings.r2.resolved_endpoint} can be listed"))
    try:
        pause = await stored_source_pause(settings, machine)
    except (StoreUnavailable, SettingsError):
        return  # the finding about the store reports it
    if pause is not None:
        why = f"paused since {rfc3339(pause.since)}: {pause.reason}"
        report(Finding("bucket: pause", True, f"{why}; it is probed every minute, and at once by `streamwarm resume`"))


async def _clock(settings: Settings, client: httpx.AsyncClient, machine: Machine, report: Report) -> None:
    endpoint = settings.r2.resolved_endpoint
    if endpoint is None:
        return
    try:
        async with client.stream("GET", endpoint) as response:
            date = response.headers.get("date")
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # the finding about the bucket reports it
    at = parse_http_date(date or "")
    if at is None:
        report(Finding("clock", True, "the bucket's server sends no time to compare with"))
        return
    skew_s = machine.now() - at
    ok = abs(skew_s) <= SKEW_S
    detail = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the bucket's"
    report(
        Finding("clock", ok, detail if ok else f"{detail}: its signatures will be refused; run a time service (NTP)")
    )


async def _no_destinations(report: Report) -> None:
    report(Finding("destinations", False, "none is configured; add a table [destinations.mybot] to streamwarm.toml"))
