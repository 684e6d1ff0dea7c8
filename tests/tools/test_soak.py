"""What a service that runs for months loses without these: a leak is found, and what only wavers is not called one."""

from __future__ import annotations

import json
import math
import os
import random
import sys
from pathlib import Path

import pytest
import trio
from load.flat import Rule, judge

TOOLS = Path(__file__).parents[2] / "tools"
DEADLINE_S = 180.0
RULE = Rule("resident memory", "MB", slack=4.0, share=0.08)


def course(per_s: float, *, seconds: int = 600, noise: float = 3.0, spike: float = 0.0) -> list[tuple[float, float]]:
    chance = random.Random(5)
    return [
        (float(at), 70 + per_s * at + chance.uniform(-noise, noise) + (spike if chance.random() < 0.2 else 0))
        for at in range(seconds)
    ]


@pytest.mark.parametrize(
    ("points", "flat"),
    [
        (course(0.0), True),
        (course(0.0, spike=40.0), True),
        (course(0.02), False),
        (course(0.02, spike=40.0), False),
        (course(-0.1), True),
        ([(at, 70 + 8 * (1 - math.exp(-at / 60))) for at, _ in course(0.0)], True),
        ([(at, math.nan) for at, _ in course(0.0)], False),
        (course(0.0)[:6], False),
    ],
    ids=["noise", "spikes", "leak", "leak-and-spikes", "falls", "fills-up-first", "never-measured", "too-few"],
)
def test_a_leak_is_told_from_noise_and_what_was_not_measured_is_not_called_flat(
    points: list[tuple[float, float]], flat: bool
) -> None:
    assert judge(RULE, points).is_flat is flat


async def test_a_short_soak_over_real_servers_ends_well_and_finds_everything_flat(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S):
        ran = await trio.run_process(
            [sys.executable, "-m", "load.soak", "--seconds", "6", "--rate", "6", "--json"],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(TOOLS)},
            cwd=tmp_path,
        )
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (told["ok"], told["wrong"]) == (True, [])
    assert told["flat"].keys() == {
        "resident memory",
        "Python's blocks",
        "open files",
        "threads",
        "trio tasks",
        "pool connections",
        "database",
    }
    assert all(one["middle"] > 0 for one in told["flat"].values())
