"""What a comparison is worth: the same work for all, its bottleneck named, and a page that can be written again."""

from __future__ import annotations

import pytest
from attrs import evolve
from peers.copying import copy_runs, copy_table
from peers.measure import Figures, MachineTime, held_by, median
from peers.plots import plot
from peers.report import BEGIN, END, tables, written_into
from peers.targets import ideal_p95_s, targets_table
from peers.workloads import make_workloads

IDLE = Figures(10.0, 10.0, 1.0, 0.1, 0.2, 1.0, 70.0, own_busy=0.1, far_busy=0.1, machine_busy=0.1, others_busy=0.0)


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
        ({"machine_busy": 0.5, "others_busy": 0.45}, "a", "the machine's other users (45%"),
        ({}, "a", "waiting"),
        ({"seconds": 16.0}, "d", "the latencies"),
        ({"machine_busy": 0.2}, "paced", "the latencies"),
        ({"machine_busy": 0.2, "others_busy": 0.75}, "paced", "the machine's other users (75%"),
        ({"seconds": 30.0, "own_busy": 0.95}, "d", "its own CPU"),
    ],
)
def test_a_far_side_that_was_the_bottleneck_is_said_to_be_it(more: dict[str, float], workload: str, held: str) -> None:
    assert held_by(evolve(IDLE, **more), make_workloads(1.0)[workload]).startswith(held)


def test_a_table_has_a_row_for_each_worker_and_says_why_one_is_missing() -> None:
    runs = {"a": {"streamwarm": [IDLE, evolve(IDLE, jobs_per_s=30.0)], "seed-buffered": [evolve(IDLE, peak_mb=140.0)]}}
    failures = {("a", "curl"): "it is not installed"}
    text = tables(make_workloads(0.01), runs, failures, command="run", targets="", plots={"a": "a.svg"})
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {12}
    assert "| streamwarm | 20.0 |" in text
    assert "| 2.00 | 0.50 |" in text
    assert "it is not installed" in text
    assert "(a.svg)" in text
    assert median(runs["a"]["streamwarm"]).jobs_per_s == 20.0


def test_a_page_can_be_written_again_and_keeps_what_stands_around() -> None:
    once = written_into("# Figures\n\nBefore.\n", "first")
    twice = written_into(once + "\n## After\n", "second")
    assert written_into(twice, "second") == twice
    assert "first" not in twice
    assert (
        twice.index("Before.") < twice.index(BEGIN) < twice.index("second") < twice.index(END) < twice.index("## After")
    )


def test_a_missed_target_says_by_how_much_and_what_holds_it() -> None:
    works = make_workloads(1.0)
    slow = evolve(IDLE, jobs_per_s=7.5, own_busy=0.95)
    medians = {
        "a": {"streamwarm": slow, "streamwarm-2": IDLE, "seed-buffered": IDLE},
        "b": {"streamwarm": evolve(IDLE, mb_per_s=1.0), "seed-buffered": evolve(IDLE, mb_per_s=1.0, peak_mb=700.0)},
        "d": {"streamwarm": slow},
        "paced": {"streamwarm": evolve(IDLE, p95_s=0.975)},
    }
    copied = {"streamwarm": {"elapsed_s": 8.0, "peak_rss_mb": 60.0}, "rclone": {"elapsed_s": 8.8, "peak_rss_mb": 200.0}}
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in targets_table(works, medians, copied).splitlines()
    ]
    told = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert told["(a) throughput at least that of seed-buffered"][1] == "met"
    missed = told["(b) at least 1.25 × the throughput of seed-buffered"]
    assert (missed[0], missed[1]) == ("1.00 ×", "**missed by 20%**")
    assert missed[2].startswith("waiting")
    assert told["(b) at most a third of the memory of seed-buffered"][1] == "met"
    assert told["(d) at least 95 % of 5 / latency"][1] == "met"
    assert told["(paced) p95 of photos at most 1.2 × the latencies"][1] == "**missed by 25%**"
    assert told["(copy) at most half of rclone's memory"][1] == "met"


def test_the_full_paced_run_is_sparse_enough_for_its_target_to_be_met_at_all() -> None:
    paced = make_workloads(1.0)["paced"]
    assert ideal_p95_s(paced) == pytest.approx(paced.floor_s)


def test_a_picture_shows_every_worker() -> None:
    for name, workload in make_workloads(0.01).items():
        svg = plot(workload, {"streamwarm": IDLE, "curl": IDLE})
        assert (svg.count(">curl<"), svg.count("<svg"), workload.title in svg) == (1, 1, True), name


def test_what_others_take_of_the_machine_is_never_below_nothing() -> None:
    assert MachineTime().busy_for_others(1e9) == 0.0


def test_without_rclone_the_comparison_goes_on_and_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "apt-get install rclone" in copy_table(copy_runs(1.0, 1, tls=False), 1.0)
