"""The command line of the load generator: options in, table and exit code out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import trio

from load.http_clients import HttpError
from load.options import (
    MAX_CLIENTS,
    MAX_JOBS,
    Mix,
    Options,
    Repush,
    SandboxOptions,
    TargetOptions,
    check_sandbox_only,
    check_target_only,
)
from load.plan import FATAL_FAULTS, RETRIED_FAULTS
from load.report import html_report
from load.run import Finished, innermost, run_load
from load.sandbox import MAX_CHATS
from load.service import StartError
from load.table import rows
from streamwarm.cli.client import Unreachable
from streamwarm.errors import SettingsError
from streamwarm.model import Refresh
from streamwarm.sandbox.object_store import ObjectStoreError

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130

SHARE = click.FloatRange(0, 1)
SECONDS = click.FloatRange(0, 3_600, min_open=True)
ROTATED_S = 30
"""Seconds until a rotated key is put right, unless given."""
CHATS_IF_REFUSING = 4
"""Chats of each bot unless given: enough for one that refuses a kind, one that refuses everything, and two healthy."""
MILLISECONDS = click.FloatRange(0, 3_600_000)

_OPTIONS = (
    click.option("--jobs", type=click.IntRange(1, MAX_JOBS), default=200, show_default=True, help="Jobs to push."),
    click.option("--clients", type=click.IntRange(1, MAX_CLIENTS), default=4, show_default=True, help="Websockets."),
    click.option(
        "--rate",
        type=click.FloatRange(0, min_open=True),
        help="Arrivals a second, all clients together: an open loop with Poisson arrivals, latency counted from "
        "the intended arrival. Without it a closed loop.",
    ),
    click.option(
        "--in-flight",
        type=click.IntRange(1, 10_000),
        help="Closed loop: jobs that each client keeps under way (default 8).",
    ),
    click.option(
        "--mix", type=click.Choice([mix.value for mix in Mix]), default="mixed", show_default=True, help="Object sizes."
    ),
    click.option(
        "--size-scale",
        type=click.FloatRange(0, 10, min_open=True),
        default=1.0,
        show_default=True,
        help="Multiply every size.",
    ),
    click.option("--repeats", type=SHARE, default=0.1, show_default=True, help="Share of jobs for an object again."),
    click.option("--bad", type=SHARE, default=0.0, show_default=True, help="Share of jobs that must fail."),
    click.option("--faults", type=SHARE, default=0.0, show_default=True, help="Share of uploads the emulator spoils."),
    click.option(
        "--fault",
        "fault_kinds",
        multiple=True,
        type=click.Choice([*RETRIED_FAULTS, *FATAL_FAULTS]),
        help="Only these faults; may be repeated. Default: all that a job survives.",
    ),
    click.option("--seed", type=int, default=1, show_default=True, help="Same seed: same sizes, order, arrivals."),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0, min_open=True),
        default=900.0,
        show_default=True,
        help="Seconds after which what has not ended counts as failed.",
    ),
    click.option("--sandbox", is_flag=True, help="Start a bucket, a Bot API emulator and a service, and load that."),
    click.option("--destinations", type=click.IntRange(1, 50), help="Sandbox: bots (default 1)."),
    click.option(
        "--chats",
        type=click.IntRange(1, MAX_CHATS),
        help="Sandbox: warm-up groups of each bot (default 1; 4 with --refusing-chats).",
    ),
    click.option("--workers", type=click.IntRange(1, 1000), help="Sandbox: the service's --workers."),
    click.option("--processes", type=click.IntRange(1, 64), help="Sandbox: the service's --processes."),
    click.option("--store", metavar="URL", help="Sandbox: the service's --store (default: a new SQLite file)."),
    click.option("--r2-latency", type=MILLISECONDS, metavar="MS", help="Sandbox: before every answer of the bucket."),
    click.option("--telegram-latency", type=MILLISECONDS, metavar="MS", help="Sandbox: before every answer of a bot."),
    click.option(
        "--telegram-rates", is_flag=True, help="Sandbox: enforce Telegram's rates, which are then what is measured."
    ),
    click.option("--source-faults", type=SHARE, help="Sandbox: share of downloads that break off."),
    click.option(
        "--rotate-key",
        is_flag=False,
        flag_value=str(ROTATED_S),
        type=SECONDS,
        metavar="[SECONDS]",
        help=f"Sandbox: in mid-run, the bucket refuses the service's key for so long (default {ROTATED_S}).",
    ),
    click.option("--outage", type=SECONDS, metavar="SECONDS", help="Sandbox: in mid-run, 503 to everything."),
    click.option(
        "--refusing-chats",
        type=SHARE,
        help="Sandbox: share of each bot's chats that refuse one kind, or everything in unknown words; one never does.",
    ),
    click.option(
        "--replaced",
        type=SHARE,
        help="Sandbox: replace that share of the objects, push the same keys again, and check what look-ups answer.",
    ),
    click.option(
        "--refresh",
        type=click.Choice([policy.value for policy in Refresh]),
        help="Sandbox: the policy of that second push (default if_changed).",
    ),
    click.option("--config", type=click.Path(path_type=Path), help="The running service's settings file."),
    click.option("--url", metavar="WS-URL", help="Its websocket (default: from the settings)."),
    click.option("--http-url", metavar="URL", help="Its HTTP address (default: from the settings)."),
    click.option("--token", envvar="STREAMWARM_TOKEN", help="Its token (default: the first of auth.tokens)."),
    click.option("--destination", "names", multiple=True, help="Push to this one; may be repeated (default: all)."),
    click.option("--allow-real", is_flag=True, help="Push though a destination is not known to be an emulator."),
    click.option("--json", "as_json", is_flag=True, help="Print the table as one JSON object on the last line, too."),
    click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a report with plots."),
)


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def exits(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what a run raises into a message and an exit code: those of streamwarm's own commands."""

    @wraps(command)
    def run(**given: Any) -> None:
        try:
            command(**given)
        except BaseException as exc:
            error = innermost(exc)
            code, message = _told(error)
            if code is None:
                raise error from None
            click.echo(f"loadgen: {message}", err=True)
            sys.exit(code)

    return run


def _told(error: BaseException) -> tuple[int | None, str]:
    if isinstance(error, SettingsError | StartError | ObjectStoreError):
        return USAGE, str(error)
    if isinstance(error, Unreachable | HttpError):
        return UNREACHABLE, str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    return None, ""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@_with_options
@exits
def main(*, as_json: bool, html: Path | None, **given: Any) -> None:
    """Push jobs from many websocket clients, follow each to its end, and check every delivered byte.

    Loads a service that runs already, described by its settings (--config), or with --sandbox one of its own. Exit 0
    only if every job ended as expected and every delivered digest agrees.
    """
    options = read_options(given)
    if html is not None and not html.absolute().parent.is_dir():
        raise click.UsageError(f"--html: there is no folder {html.parent}; make it first")
    finished = trio.run(run_load, options, lambda text: click.echo(text, err=True))
    if html is not None:
        html.write_text(
            html_report(finished.summary, options, finished.ledger.records, finished.sampler.samples), "utf-8"
        )
    print_table(finished.summary)
    if as_json:
        click.echo(json.dumps(finished.summary))
    sys.exit(_exit_code(finished))


def read_options(given: dict[str, Any]) -> Options:
    """Raises `click.UsageError` for what does not fit together."""
    sandbox = given["sandbox"]
    shape = (
        "destinations",
        "chats",
        "workers",
        "processes",
        "store",
        "r2_latency",
        "telegram_latency",
        "telegram_rates",
    )
    troubles = ("source_faults", "rotate_key", "outage", "refusing_chats")
    again = {f"--{name}": given[name] is not None for name in ("replaced", "refresh")}
    check_sandbox_only({**{_flag(name): bool(given[name]) for name in (*shape, *troubles)}, **again}, sandbox)
    if any(again.values()) and (spoiling := [_flag(name) for name in troubles[1:] if given[name]]):
        raise click.UsageError(f"--replaced, --refresh: leave them out, or {spoiling[0]}; the second push has neither")
    if given["rotate_key"] and given["outage"]:
        raise click.UsageError("--rotate-key and --outage: give one of them, or their costs can't be counted apart")
    if given["refusing_chats"] and given["chats"] == 1:
        raise click.UsageError("--refusing-chats: give --chats 2 or more; each bot keeps one that refuses nothing")
    target = ("config", "url", "http_url", "allow_real")
    check_target_only({**{_flag(n): bool(given[n]) for n in target}, "--destination": bool(given["names"])}, sandbox)
    if given["fault_kinds"] and not given["faults"]:
        raise click.UsageError("--fault says which; how many uploads it hits is --faults SHARE, such as --faults 0.05")
    if given["rate"] is not None and given["in_flight"] is not None:
        raise click.UsageError("--in-flight belongs to a closed loop, --rate to an open one: give one of them")
    if given["url"] and not given["url"].startswith(("ws://", "wss://")):
        raise click.UsageError("--url: must start with ws:// or wss://")
    if given["http_url"] and not given["http_url"].startswith(("http://", "https://")):
        raise click.UsageError("--http-url: must start with http:// or https://")
    common = ("jobs", "clients", "rate", "size_scale", "repeats", "bad", "faults", "fault_kinds", "seed", "timeout_s")
    return Options(
        **{name: given[name] for name in common},
        mix=Mix(given["mix"]),
        in_flight=given["in_flight"] or 8,
        repush=_repush(given),
        sandbox=_sandbox_options(given) if sandbox else None,
        target=TargetOptions(**{name: given[name] for name in (*target, "token", "names")}),
    )


def _repush(given: dict[str, Any]) -> Repush | None:
    if given["replaced"] is None and given["refresh"] is None:
        return None
    return Repush(given["replaced"] or 0.0, Refresh(given["refresh"] or Refresh.IF_CHANGED))


def _sandbox_options(given: dict[str, Any]) -> SandboxOptions:
    return SandboxOptions(
        destinations=given["destinations"] or 1,
        chats=given["chats"] or (CHATS_IF_REFUSING if given["refusing_chats"] else 1),
        workers=given["workers"],
        processes=given["processes"],
        store=given["store"],
        r2_latency_s=(given["r2_latency"] or 0.0) / 1000,
        telegram_latency_s=(given["telegram_latency"] or 0.0) / 1000,
        telegram_rates=given["telegram_rates"],
        source_faults=given["source_faults"] or 0.0,
        rotate_key_s=given["rotate_key"],
        outage_s=given["outage"],
        refusing_chats=given["refusing_chats"] or 0.0,
        compares_always=_repush(given) is not None,
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def print_table(summary: dict[str, Any]) -> None:
    lines = rows(summary)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name:{width}}  {value}")
    for line in summary["wrong"]:
        click.echo(f"WRONG: {line}", err=True)


def _exit_code(finished: Finished) -> int:
    if finished.interrupted:
        return INTERRUPTED
    return 0 if finished.summary["ok"] else FAILED
