"""`python -m tests.simulation --seeds 1000`: runs of the whole service, each drawn from a seed, and what broke in them.

Prints a failing seed with what is wrong and the tail of its trace, and exits 1. `--seed N` runs one; `--shrink` then
removes faults, clients and jobs until nothing more can go.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.plan import FaultKind, draw
from tests.simulation.run import Outcome, simulate

TAIL = 60


def main() -> int:
    options = _parse()
    without = frozenset(map(FaultKind, options.without))
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    struck: Counter[FaultKind] = Counter()
    failed = []
    started = time.monotonic()
    for seed in seeds:
        outcome = simulate(draw(str(seed), without=without))
        struck += outcome.struck
        if outcome.complaints:
            failed.append(seed)
            _print(outcome, options.tail)
        elif options.verbose:
            _print(outcome, options.tail)
    elapsed_s = time.monotonic() - started
    print(f"{len(seeds)} seeds, {len(failed)} failed {failed}, {elapsed_s / len(seeds):.3f} s each")
    print(", ".join(f"{kind} {struck[kind]}" for kind in FaultKind))
    return 1 if failed else 0


def _print(outcome: Outcome, tail: int) -> None:
    for traced in outcome.trace[-tail:] if tail else outcome.trace:
        print(traced)
    print(f"seed {outcome.plan.seed}: {outcome.plan.hosts} hosts")
    for complaint in outcome.complaints:
        print(f"  {complaint}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--without", action="append", default=[], choices=list(FaultKind))
    parser.add_argument("--tail", type=int, default=TAIL)
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
