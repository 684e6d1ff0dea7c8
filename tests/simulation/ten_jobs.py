"""Run as a program: `python -m tests.simulation.ten_jobs SEED STORE` prints the trace of a run: ten jobs for a bot, an
HTTP endpoint and a bucket. STORE is `memory` or `sqlite`."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen

from tests.simulation.world import World, simulate

DESTINATIONS = ("mybot", "cdn", "copies")
STORES = ("memory", "sqlite")


@frozen
class Run:
    """What became of the jobs, and everything that happened on the way. `wanted` is what each destination must hold."""

    states: dict[str, str]
    stats: dict[str, Any]
    world: World
    wanted: dict[str, list[bytes]]

    @property
    def trace(self) -> list[str]:
        return [str(traced) for traced in self.world.trace]


def run(seed: str, store: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="streamwarm-simulation-") as folder:
        states: dict[str, str] = {}
        stats: dict[str, Any] = {}
        wanted: dict[str, list[bytes]] = {name: [] for name in DESTINATIONS}
        world = simulate(seed, partial(_push_ten, store, Path(folder), states, stats, wanted))
        return Run(states, stats, world, wanted)


async def _push_ten(
    store: str,
    folder: Path,
    states: dict[str, str],
    stats: dict[str, Any],
    wanted: dict[str, list[bytes]],
    world: World,
) -> None:
    chance = Random(f"{world.seed} jobs")
    jobs = []
    for number in range(10):
        key, destination = f"media/{number % 7}.bin", DESTINATIONS[number % 3]
        content = world.source.objects.setdefault(key, chance.randbytes(chance.randint(1, 300_000)))
        wanted[destination].append(content)
        jobs.append({"destination": destination, "kind": "document", "r2_key": key})
    url = "memory:" if store == "memory" else f"sqlite:///{folder}/jobs.db"
    async with world.running(world.settings(url, folder)) as client:
        states |= await client.until_ended(await client.push(jobs))
        stats |= await client.look_up("/v1/stats")


if __name__ == "__main__":
    for line in run(sys.argv[1], sys.argv[2]).trace:
        print(line)
