"""The work that every worker is given. Pure, and the same for the same scale.

(a) many photos: what an object costs. (b) videos and (c) huge ones: what a byte costs. (d) a mixed library behind slow
far sides: what waiting costs, all jobs at once; and `paced`, the same arriving at half of what five workers can take,
where a job's latency is its own and not its neighbours'.
"""

from __future__ import annotations

import random
from typing import Any

from attrs import field, frozen

GIBIBYTE = 1 << 30
MIN_JOBS = 5
WORKERS = 5


@frozen
class Job:
    """`at_s` is the arrival from the run's start. The far side reads the size from the key."""

    number: int
    kind: str
    bytes: int
    at_s: float = 0.0

    @property
    def key(self) -> str:
        suffix = {"photo": "png", "video": "mp4", "document": "bin"}[self.kind]
        return f"media/{self.kind}{self.number}-{self.bytes}.{suffix}"

    def as_line(self) -> dict[str, Any]:
        return {"number": self.number, "key": self.key, "kind": self.kind, "bytes": self.bytes}


@frozen
class Workload:
    name: str
    title: str
    jobs: tuple[Job, ...] = field(repr=False)
    r2_latency_ms: int = 0
    telegram_latency_ms: int = 0
    paced: bool = False

    @property
    def bytes(self) -> int:
        return sum(job.bytes for job in self.jobs)

    @property
    def floor_s(self) -> float:
        """The least that any worker of five can take: the latencies alone, bytes for free."""
        return (self.r2_latency_ms + self.telegram_latency_ms) / 1000


def make_workloads(scale: float) -> dict[str, Workload]:
    """`scale` shrinks the counts of jobs, and for the huge ones their size."""
    chance = random.Random(2)
    photos = _jobs([("photo", chance.randint(20_000, 300_000)) for _ in range(_count(2000, scale))])
    videos = _jobs([("video", chance.randint(5_000_000, 50_000_000)) for _ in range(_count(40, scale))])
    huge = _jobs([("document", max(1_000_000, round(GIBIBYTE * scale)))] * 5)
    mixed = _mixed(_count(120, scale), chance)
    latency = {"r2_latency_ms": 150, "telegram_latency_ms": 500}
    rate = WORKERS / 0.65 / 2
    at_s = 0.0
    paced = []
    for job in _mixed(_count(120, scale), chance):
        at_s += chance.expovariate(rate)
        paced.append(Job(job.number, job.kind, job.bytes, at_s))
    each = (
        Workload("a", f"{len(photos):,} photos of 20 to 300 KB", photos),
        Workload("b", f"{len(videos):,} videos of 5 to 50 MB", videos),
        Workload("c", f"5 objects of {huge[0].bytes / GIBIBYTE:.3g} GiB", huge),
        Workload("d", f"{len(mixed):,} mixed, R2 150 ms, Telegram 500 ms away", mixed, **latency),
        Workload(
            "paced",
            f"{len(paced):,} mixed, arriving at {rate:.1f} a second, R2 150 ms, Telegram 500 ms away",
            tuple(paced),
            **latency,
            paced=True,
        ),
    )
    return {workload.name: workload for workload in each}


def _count(full: int, scale: float) -> int:
    return max(MIN_JOBS, round(full * scale))


def _mixed(count: int, chance: random.Random) -> tuple[Job, ...]:
    """Nine photos to one video, in chance order."""
    kinds = ["video" if number % 10 == 0 else "photo" for number in range(count)]
    chance.shuffle(kinds)
    sizes = {"photo": (20_000, 300_000), "video": (5_000_000, 50_000_000)}
    return _jobs([(kind, chance.randint(*sizes[kind])) for kind in kinds])


def _jobs(about: list[tuple[str, int]]) -> tuple[Job, ...]:
    return tuple(Job(number, kind, size) for number, (kind, size) in enumerate(about))
