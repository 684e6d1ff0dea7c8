"""`python -m tests.simulation --seeds 1000`: runs of the whole service, each drawn from a seed, and what broke in them.

Prints each failing seed with what is wrong and the tail of its trace, and exits 1. `--seed N` runs one again;
`--shrink` then leaves out faults, actions, jobs and clients until nothing more can go.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.simulation.drawing import draw, possible_kinds
from tests.simulation.many import outcomes
from tests.simulation.plan import FaultKind, Plan
from tests.simulation.run import Outcome, simulate
from tests.simulation.shrink import shrink

TAIL = 60
"""Lines of a failing seed's trace that are printed; 0 prints all."""

LINE = 400
"""Characters of a trace's line that are printed in a tail: some events hold whole statistics."""

EVERY_KIND_WITHIN = 300
"""A run of at least so many seeds fails if a kind of fault has never struck: then something of the world is broken."""


def main() -> int:
    options = _parse()
    without = frozenset(map(FaultKind, options.without))
    if options.seed is not None:
        return _one(draw(str(options.seed), without=without), options)
    seeds = range(options.first, options.first + options.seeds)
    started = time.monotonic()
    struck: Counter[FaultKind] = Counter()
    failed: list[str] = []
    for outcome in outcomes(seeds, without, workers=options.workers):
        struck += outcome.struck
        if outcome.complaints:
            failed.append(outcome.plan.seed)
            _print(outcome, options.tail)
            sys.stdout.flush()
            if options.stop:
                break
    print(f"{len(seeds)} seeds in {time.monotonic() - started:.0f} s; failed: {', '.join(failed) or 'none'}")
    print(", ".join(f"{kind} {struck[kind]}" for kind in FaultKind))
    missing = never_struck(struck, len(seeds), without)
    if missing and not failed:
        print(f"never struck: {', '.join(missing)}")
    return 1 if failed or missing else 0


def never_struck(struck: Counter[FaultKind], seeds: int, without: frozenset[FaultKind]) -> list[str]:
    """The kinds of fault that a run of so many seeds should have seen and has not."""
    return [kind for kind in possible_kinds(without) if not struck[kind]] if seeds >= EVERY_KIND_WITHIN else []


def _one(plan: Plan, options: argparse.Namespace) -> int:
    outcome = simulate(plan)
    if outcome.complaints and options.shrink:
        rule = _rules(outcome)
        plan = shrink(plan, lambda smaller: bool(rule & _rules(simulate(smaller))))
        outcome = simulate(plan)
    _print(outcome, options.tail)
    return 1 if outcome.complaints else 0


def _rules(outcome: Outcome) -> set[str]:
    return {complaint.partition(":")[0] for complaint in outcome.complaints}


def _print(outcome: Outcome, tail: int) -> None:
    plan = outcome.plan
    for traced in outcome.trace[-tail:]:
        print(str(traced)[:LINE] if tail else traced)
    what = [*plan.jobs, *plan.actions, *plan.faults]
    print(f"seed {plan.seed}: {plan.hosts} hosts, {plan.clients} clients, {len(plan.jobs)} jobs")
    print(*(f"  {complaint}" for complaint in outcome.complaints), *(f"    {item}" for item in what), sep="\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one alone, and print its trace")
    parser.add_argument("--shrink", action="store_true", help="with --seed: make its plan as small as it can be")
    parser.add_argument("--without", action="append", default=[], choices=list(FaultKind), help="leave a fault out")
    parser.add_argument("--tail", type=int, default=TAIL, help="lines of a trace to print; 0: all")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes to use")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
