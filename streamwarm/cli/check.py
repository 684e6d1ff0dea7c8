"""`streamwarm check`: proves the configuration against the real systems."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import click
import httpx
import trio

from streamwarm.cli.common import FAILED, OK, config_option, exits, print_json, read_settings
from streamwarm.cli.table import print_table
from streamwarm.errors import SettingsError, SourceError, StoreUnavailable
from streamwarm.send.checks import Finding, Tell, prove_handoff, prove_s3, prove_telegram
from streamwarm.send.s3.destination import S3Destination
from streamwarm.service.machine import Machine, real_machine
from streamwarm.service.open import check_store, open_pool, open_source, secrets_in_settings
from streamwarm.settings.s3 import S3Settings
from streamwarm.settings.schema import Settings
from streamwarm.settings.telegram import TelegramSettings
from streamwarm.watch.redact import make_redactor

WITHIN_S = 30.0
"""How long one system may take to be proven; what is slower is broken to a bot as well."""

SKEW_S = 300.0
"""S3 refuses signatures that are 15 minutes off (RequestTimeTooSkewed); a clock that is 5 off is on its way there."""

_Proof = Callable[[Tell], Awaitable[None]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one finding a line, as JSON.")
@config_option
@exits
def check(as_json: bool, config: Path | None) -> None:
    """Prove the settings against the real systems: store, bucket, clock, bots and their chats.

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
    """In the order of the proofs, which run at the same time."""
    machine = real_machine()
    async with open_pool(settings.pool, machine) as client:
        proofs: list[tuple[str, _Proof]] = [
            ("store", partial(_store, settings, machine)),
            ("bucket", partial(_bucket, settings, machine)),
            ("clock", partial(_clock, settings, client, machine)),
            *_destination_proofs(settings, client, machine),
        ]
        results: dict[str, list[Finding]] = {}
        async with trio.open_nursery() as nursery:
            for what, proof in proofs:
                nursery.start_soon(_prove, what, proof, results)
    redact = make_redactor(secrets_in_settings(settings))
    return [Finding(f.what, f.ok, redact(f.detail)) for what, _ in proofs for f in results[what]]


def _destination_proofs(settings: Settings, client: httpx.AsyncClient, machine: Machine) -> list[tuple[str, _Proof]]:
    proofs: list[tuple[str, _Proof]] = []
    for name, destination in settings.destinations.items():
        if isinstance(destination, TelegramSettings):
            proofs.append((name, partial(prove_telegram, name, destination, client)))
            if destination.handoff == "auto":
                proofs.append((f"{name} hand-off", partial(_handoff, settings, name, destination)))
        elif isinstance(destination, S3Settings):
            bucket = S3Destination(name, destination, client, now=machine.now, token_hex=machine.token_hex)
            proofs.append((name, partial(prove_s3, name, destination, bucket)))
        else:
            proofs.append((name, partial(_unproven, name)))
    if not proofs:
        proofs.append(("destinations", _no_destinations))
    return proofs


async def _handoff(settings: Settings, name: str, destination: TelegramSettings, tell: Tell) -> None:
    tell(prove_handoff(name, destination, settings.r2.resolved_endpoint or ""))


async def _unproven(name: str, tell: Tell) -> None:
    tell(Finding(name, True, "its settings are sound; nothing is sent there before a job is"))


async def _prove(what: str, proof: _Proof, results: dict[str, list[Finding]]) -> None:
    found = results[what] = []
    with trio.move_on_after(WITHIN_S) as scope:
        await proof(found.append)
    if scope.cancelled_caught:
        found.append(Finding(what, False, f"no answer within {WITHIN_S:g} s; check the address and the network"))


async def _store(settings: Settings, machine: Machine, tell: Tell) -> None:
    try:
        tell(Finding("store", True, await check_store(settings, machine)))
    except (StoreUnavailable, SettingsError) as exc:
        tell(Finding("store", False, str(exc)))


async def _bucket(settings: Settings, machine: Machine, tell: Tell) -> None:
    try:
        async with open_source(settings, machine) as source:
            await source.check()
    except (SourceError, SettingsError) as exc:
        tell(Finding("bucket", False, str(exc)))
    else:
        tell(Finding("bucket", True, f"{settings.r2.bucket} at {settings.r2.resolved_endpoint} can be listed"))


async def _clock(settings: Settings, client: httpx.AsyncClient, machine: Machine, tell: Tell) -> None:
    endpoint = settings.r2.resolved_endpoint
    if endpoint is None:
        return
    try:
        async with client.stream("GET", endpoint) as response:
            told = response.headers.get("date")
    except (httpx.HTTPError, httpx.InvalidURL):
        return  # the bucket's own line says so
    try:
        skew_s = machine.now() - parsedate_to_datetime(told or "").timestamp()
    except ValueError:
        tell(Finding("clock", True, "the bucket's server does not tell its time"))
        return
    ok = abs(skew_s) <= SKEW_S
    detail = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the bucket's"
    tell(Finding("clock", ok, detail if ok else f"{detail}: its signatures will be refused; run a time service (NTP)"))


async def _no_destinations(tell: Tell) -> None:
    tell(Finding("destinations", False, "none is configured; add a table [destinations.mybot] to streamwarm.toml"))
