"""What a load run is asked to do, checked: what does not fit together is a usage error with its remedy."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import click
from attrs import field, frozen

from load.service import PROGRAM
from streamwarm.model import Refresh

MAX_JOBS = 100_000
"""`queue.max_pending` and the deliveries that the emulator remembers: beyond either, digests cannot be checked."""

MAX_CLIENTS = 500
"""The service takes about a thousand websocket clients; a machine's usual 1,024 open files are ours too."""


class Mix(StrEnum):
    """Which objects are pushed; `content.py` has the sizes."""

    PHOTOS = "photos"
    VIDEOS = "videos"
    HUGE = "huge"
    MIXED = "mixed"


@frozen
class SandboxOptions:
    """What only a sandbox of our own can be told. Latencies in seconds; shares from 0 to 1.

    `rotate_key_s` and `outage_s` are how long the bucket refuses everything in the middle of the run.
    `refusing_chats` is the share of each bot's chats that refuse something (`refusing.py`).
    `keep_ended_s` is how long the service keeps jobs that have ended; `program` is what Python runs as streamwarm.
    `compares_always`: the service trusts no comparison of a record, and makes none that no push asks for.
    """

    destinations: int = 1
    chats: int = 1
    workers: int | None = None
    processes: int | None = None
    store: str | None = None
    r2_latency_s: float = 0.0
    telegram_latency_s: float = 0.0
    telegram_rates: bool = False
    source_faults: float = 0.0
    rotate_key_s: float | None = None
    outage_s: float | None = None
    refusing_chats: float = 0.0
    keep_ended_s: float | None = None
    compares_always: bool = False
    program: tuple[str, ...] = PROGRAM


@frozen
class Repush:
    """A second push of the same keys. `replaced` is the share of objects that are replaced before it."""

    replaced: float
    refresh: Refresh


@frozen
class TargetOptions:
    """A service that runs already. `names` are the destinations to push to, all Telegram ones if empty."""

    config: Path | None = None
    url: str | None = None
    http_url: str | None = None
    token: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    allow_real: bool = False


@frozen
class Options:
    """One run. `rate` is arrivals a second (open loop), None for a closed loop of `clients` × `in_flight` jobs."""

    jobs: int = 200
    clients: int = 4
    rate: float | None = None
    in_flight: int = 8
    mix: Mix = Mix.MIXED
    size_scale: float = 1.0
    repeats: float = 0.1
    bad: float = 0.0
    faults: float = 0.0
    fault_kinds: tuple[str, ...] = ()
    seed: int = 1
    timeout_s: float = 900.0
    repush: Repush | None = None
    sandbox: SandboxOptions | None = None
    target: TargetOptions = TargetOptions()

    @property
    def loop(self) -> str:
        """How jobs arrive, in words."""
        if self.rate is not None:
            return f"open loop, Poisson, {self.rate:g} jobs/s"
        return f"closed loop, {self.clients} × {self.in_flight} jobs in flight"


def check_sandbox_only(given: dict[str, bool], sandbox: bool) -> None:
    """Raises `click.UsageError` where an option that shapes a sandbox is given without one."""
    misplaced = [name for name, is_given in given.items() if is_given]
    if misplaced and not sandbox:
        raise click.UsageError(
            f"{', '.join(misplaced)}: only for a sandbox that the load generator starts; add --sandbox"
        )


def check_target_only(given: dict[str, bool], sandbox: bool) -> None:
    """Raises `click.UsageError` where an option that names a running service is given together with `--sandbox`."""
    misplaced = [name for name, is_given in given.items() if is_given]
    if misplaced and sandbox:
        raise click.UsageError(
            f"{', '.join(misplaced)}: names a service that runs already; leave it out, or leave out --sandbox"
        )
