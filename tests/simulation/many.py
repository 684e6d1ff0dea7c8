"""Many seeds at once, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from attrs import evolve

from tests.simulation.drawing import draw
from tests.simulation.plan import FaultKind
from tests.simulation.run import Outcome, simulate

AT_ONCE = 8
"""Seeds that a process takes at a time."""


def outcomes(seeds: Iterable[int], without: frozenset[FaultKind], *, workers: int) -> Iterator[Outcome]:
    """The runs of all seeds, in order, in so many processes. The trace of a run that went well is left out."""
    if workers == 1:
        yield from map(partial(_run_seed, without), seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(partial(_run_seed, without), seeds, chunksize=AT_ONCE)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _run_seed(without: frozenset[FaultKind], seed: int) -> Outcome:
    outcome = simulate(draw(str(seed), without=without))
    return outcome if outcome.complaints else evolve(outcome, trace=())
