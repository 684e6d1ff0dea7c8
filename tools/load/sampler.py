"""Looks at the service twice a second: its queue by `/metrics`, its memory and CPU by the kernel."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio
from attrs import define, field, frozen

from load.http_clients import HttpError
from load.metrics import Metrics, parse_metrics
from load.processes import Usage, usage
from load.target import Target

EVERY_S = 0.5
SHORT_TERM = 4_000
"""Samples kept at most: half an hour at full pace; then every second one is dropped, and the pace halves."""


@frozen
class Sample:
    """The service at one moment; `at_s` from the run's start. What is not known is NaN."""

    at_s: float
    queued: float
    busy: float
    ended: int
    resident_bytes: float
    cpu_s: float
    open_files: float


@define(eq=False)
class Sampler:
    """`run` looks until cancelled; `samples` are oldest first. `ended` tells how many jobs have ended by now; `metrics`
    and `usage` are what was last seen of a service that may be gone."""

    target: Target
    clock: Callable[[], float]
    ended: Callable[[], int]
    metrics: Metrics
    usage: Usage | None
    samples: list[Sample] = field(factory=list)
    every_s: float = EVERY_S
    _started_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock()

    async def run(self) -> None:
        while True:
            await self.look()
            if len(self.samples) >= SHORT_TERM:
                del self.samples[1::2]
                self.every_s *= 2
            await trio.sleep(self.every_s)

    async def look(self) -> None:
        """Take one sample. A service that is away for a moment leaves a gap, no error."""
        taken = usage(self.target.pid) if self.target.pid is not None else None
        try:
            metrics = self.metrics = await read_metrics(self.target)
        except HttpError:
            metrics = Metrics({})
        self.usage = taken or self.usage
        self.samples.append(
            Sample(
                at_s=self.clock() - self._started_at,
                queued=metrics.total("streamwarm_queue_depth", state=("queued", "waiting"), default=math.nan),
                busy=metrics.total("streamwarm_workers_busy", default=math.nan),
                ended=self.ended(),
                resident_bytes=taken.resident_bytes if taken else math.nan,
                cpu_s=taken.cpu_s if taken else math.nan,
                open_files=taken.open_files if taken else math.nan,
            )
        )


async def read_metrics(target: Target) -> Metrics:
    """Raises `HttpError`."""
    return parse_metrics(await target.http.text("/metrics"))
