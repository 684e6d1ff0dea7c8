"""A seed that fails once must fail again, on another machine too, or what it found is never understood."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

from tests.simulation.__main__ import EVERY_KIND_WITHIN, never_struck
from tests.simulation.drawing import draw, possible_kinds
from tests.simulation.plan import (
    SORTS,
    Action,
    Fault,
    FaultKind,
    Plan,
    PlannedJob,
    PlannedObject,
    Reference,
    Verb,
)
from tests.simulation.planted import BUGS, copy_of_the_service, plant
from tests.simulation.run import Outcome, simulate
from tests.simulation.shrink import shrink

ROOT = Path(__file__).parents[2]

FEW = 16
"""Seeds that run here. CI runs 200 more by `python -m tests.simulation`."""

FOUND: dict[str, Plan] = {
    # Seed 173 of the first way to draw plans, shrunk. Nothing said that the message may have come twice.
    "a job that is cancelled between its last bytes and their answer, and retried": Plan(
        seed="173",
        hosts=1,
        clients=1,
        objects=(PlannedObject("media/0.bin", (22_161,)),),
        jobs=(PlannedJob(0, "holdbot", object=0),),
        actions=(
            Action(3.5, 0, Verb.PUSH, job=0),
            Action(8.9, 0, Verb.CANCEL, job=0),
            Action(17.2, 0, Verb.RETRY, job=0),
        ),
        faults=(Fault(FaultKind.TELEGRAM_SLOW, 2.4, amount=35.0),),
    ),
    # Seed 160 of the second way to draw plans. The other key was not reported, and gave the reference back.
    "a reference that is reported under one key, and answers under another because a push named its digest": Plan(
        seed="160",
        hosts=1,
        clients=1,
        objects=(PlannedObject("media/0.bin", (900,)),),
        jobs=(PlannedJob(0, "mybot", object=0, digest="right", has_object=False), PlannedJob(4, "mybot", object=0)),
        actions=(
            Action(6.8, 0, Verb.AGAIN, job=4),
            Action(7.4, 0, Verb.PUSH, job=0),
            Action(28.3, 0, Verb.INVALID, job=4, file_id=Reference.RECORDED),
        ),
        faults=(),
    ),
    # Written by hand, as no seed had drawn it: the version before answered while the re-warm waited.
    "a slow upload of the version before, which ends after the newer reference was reported": Plan(
        seed="reported",
        hosts=1,
        clients=1,
        objects=(PlannedObject("media/0.bin", (900, 800)),),
        jobs=(PlannedJob(0, "mybot", object=0, digest="right"), PlannedJob(1, "mybot", object=0)),
        actions=(
            Action(1.0, 0, Verb.PUSH, job=0),
            Action(4.0, 0, Verb.AGAIN, job=1),
            Action(5.5, 0, Verb.PAUSE, job=0),
            Action(6.0, 0, Verb.INVALID, job=1, file_id=Reference.RECORDED),
            Action(50.0, 0, Verb.RESUME, job=0),
        ),
        faults=(Fault(FaultKind.TELEGRAM_SLOW, 0.5, amount=35.0), Fault(FaultKind.REPLACED, 3.0)),
    ),
    # So was this: until the clock had come there, the record counted as newer than whatever the bucket had.
    "an object that was opened while the clock was ahead, and replaced after it was set back": Plan(
        seed="ahead",
        hosts=1,
        clients=1,
        objects=(PlannedObject("media/0.bin", (900, 800)),),
        jobs=(PlannedJob(0, "mybot", object=0),),
        actions=(Action(5.0, 0, Verb.AGAIN, job=0), Action(14.0, 0, Verb.AGAIN, job=0, refresh="always")),
        faults=(
            Fault(FaultKind.CLOCK_STEP, 2.0, amount=600.0),
            Fault(FaultKind.CLOCK_STEP, 10.0, amount=-600.0),
            Fault(FaultKind.REPLACED, 12.0),
        ),
    ),
}
"""What seeds have found in the service, as the smallest plans that fail without the remedy."""


def trace_of(outcome: Outcome) -> list[str]:
    return [str(traced) for traced in outcome.trace]


@pytest.mark.parametrize("seed", range(1, FEW + 1))
def test_what_a_seed_draws_loses_no_job_and_breaks_no_promise(seed: int) -> None:
    assert simulate(draw(str(seed))).complaints == []


@pytest.mark.parametrize("found", FOUND)
def test_what_a_seed_has_found_does_not_come_back(found: str) -> None:
    assert simulate(FOUND[found]).complaints == []


@pytest.mark.parametrize("hosts", [1, 2])
def test_the_same_seed_is_the_same_run_in_another_process_whose_hashes_differ(hosts: int) -> None:
    seed = next(seed for seed in range(1, 100) if draw(str(seed)).hosts == hosts and len(draw(str(seed)).faults) > 5)
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--tail", "0"]
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    trace = trace_of(simulate(draw(str(seed))))
    assert finished.stdout.splitlines()[: len(trace)] == trace


def test_a_failing_plan_shrinks_to_what_makes_it_fail() -> None:
    plan = next(plan for plan in (draw(str(seed)) for seed in range(100)) if plan.clients > 1 and len(plan.jobs) > 5)
    fault, job = plan.faults[-1], plan.jobs[3]

    def fails(smaller: Plan) -> bool:
        pushes = [action for action in smaller.actions if action.job == job.number and action.verb == "push"]
        return fault in smaller.faults and bool(pushes)

    smallest = shrink(plan, fails)
    assert smallest.faults == (fault,)
    assert smallest.jobs == (job,)
    assert [action.verb for action in smallest.actions] == ["push"]
    assert smallest.clients == 1


def test_every_kind_of_fault_is_drawn_and_one_that_never_strikes_fails_a_long_run() -> None:
    assert set(SORTS) == set(FaultKind)
    drawn = Counter(fault.kind for seed in range(EVERY_KIND_WITHIN) for fault in draw(str(seed)).faults)
    assert set(drawn) == set(FaultKind)
    drawn[FaultKind.CRASH] = 0
    assert never_struck(drawn, EVERY_KIND_WITHIN, frozenset()) == [FaultKind.CRASH]
    assert never_struck(drawn, EVERY_KIND_WITHIN, frozenset({FaultKind.CRASH})) == []


def test_a_kind_that_is_left_out_leaves_the_rest_of_the_plan_as_it_was() -> None:
    plan = draw("7")
    without = draw("7", without=frozenset({plan.faults[0].kind}))
    assert without == evolve(plan, faults=tuple(f for f in plan.faults if f.kind is not plan.faults[0].kind))
    assert plan.faults[0].kind not in possible_kinds(frozenset({plan.faults[0].kind}))


@pytest.mark.parametrize("name", BUGS)
def test_each_planted_bug_still_fits_the_code(name: str, tmp_path: Path) -> None:
    plant(BUGS[name], copy_of_the_service(tmp_path))


def test_a_bug_whose_place_in_the_code_is_gone_is_reported(tmp_path: Path) -> None:
    root = copy_of_the_service(tmp_path)
    plant(BUGS["drop If-Match"], root)
    with pytest.raises(ValueError, match="the code has changed"):
        plant(BUGS["drop If-Match"], root)
