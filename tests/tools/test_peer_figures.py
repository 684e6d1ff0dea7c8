"""What a comparison is worth: the same work for all, its bottleneck named, and a page that can be written again."""

from __future__ import annotations

import pytest
from attrs import evolve
from peers.measure import Figures, held_by, median
from peers.report import BEGIN, END, tables, written_into
from peers.workloads import make_workloads

IDLE = Figures(10.0, 10.0, 1.0, 0.1, 0.2, 1.0, 70.0, own_busy=0.1, far_busy=0.1, machine_busy=0.1)


def test_every_worker_gets_the_same_work_and_as_much_as_the_workloads_say() -> None:
    full = make_workloads(1.0)
    assert full == make_workloads(1.0)
    assert [len(full[name].jobs) for name in ("a", "b", "c")] == [2000, 40, 5]
    assert all(20_000 <= job.bytes <= 300_000 for job in full["a"].jobs)
    assert all(5_000_000 <= job.bytes <= 50_000_000 for job in full["b"].jobs)
    assert {job.bytes for job in full["c"].jobs} == {1 << 30}
    assert (full["d"].r2_latency_ms, full["d"].telegram_latency_ms) == (150, 500)
    keys = [job.key for job in full["d"].jobs]
    assert len(set(keys)) == len(keys)
    arrivals = [job.at_s for job in full["paced"].jobs]
    assert arrivals == sorted(arrivals)


@pytest.mark.parametrize(
    ("more", "workload", "held"),
    [
        ({"far_busy": 0.95, "own_busy": 0.95}, "a", "**the far side**"),
        ({"own_busy": 0.95}, "a", "its own CPU"),
        ({"machine_busy": 0.95}, "a", "the machine's cores"),
        ({}, "a", "waiting"),
        ({"seconds": 16.0}, "d", "the latencies"),
        ({"seconds": 30.0, "own_busy": 0.95}, "d", "its own CPU"),
    ],
)
def test_a_far_side_that_was_the_bottleneck_is_said_to_be_it(more: dict[str, float], workload: str, held: str) -> None:
    assert held_by(evolve(IDLE, **more), make_workloads(1.0)[workload]).startswith(held)


def test_a_table_has_a_row_for_each_worker_and_says_why_one_is_missing() -> None:
    runs = {"a": {"streamwarm": [IDLE, evolve(IDLE, jobs_per_s=30.0)], "seed-buffered": [evolve(IDLE, peak_mb=140.0)]}}
    text = tables(make_workloads(0.01), runs, {("a", "curl"): "it is not installed"}, command="run")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {12}
    assert "| streamwarm | 20.0 |" in text
    assert "| 2.00 | 0.50 |" in text
    assert "it is not installed" in text
    assert median(runs["a"]["streamwarm"]).jobs_per_s == 20.0


def test_a_page_can_be_written_again_and_keeps_what_stands_around() -> None:
    once = written_into("# Figures\n\nBefore.\n", "first", ["a.svg"])
    twice = written_into(once + "\n## After\n", "second", ["a.svg"])
    assert "first" not in twice
    assert (
        twice.index("Before.") < twice.index(BEGIN) < twice.index("second") < twice.index(END) < twice.index("## After")
    )
