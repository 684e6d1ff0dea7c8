"""The faults of a plan while they wait: each strikes once, what it fits, and is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from attrs import define, field

from tests.simulation.plan import SORTS, Fault, FaultKind, Sort


@define(eq=False)
class Faults:
    """`now` is virtual seconds; `note` writes into the trace. `struck` counts by kind."""

    _now: Callable[[], float]
    _note: Callable[[str, str], None]
    _waiting: list[Fault]
    struck: Counter[FaultKind] = field(factory=Counter)

    def take(self, sort: Sort, *, of: int | None = None) -> Fault | None:
        """The oldest fault of this sort that is due, if there is one. `of`: only those of this host."""
        for fault in self._waiting:
            if fault.at_s > self._now():
                return None
            if SORTS[fault.kind] is sort and of in {None, fault.of}:
                self._waiting.remove(fault)
                self.strike(fault)
                return fault
        return None

    def timed(self, sorts: Iterable[Sort]) -> list[Fault]:
        """The faults of these sorts, which happen on time. Who makes them happen calls `strike`."""
        taken = [fault for fault in self._waiting if SORTS[fault.kind] in set(sorts)]
        self._waiting = [fault for fault in self._waiting if fault not in taken]
        return taken

    def strike(self, fault: Fault) -> None:
        self.struck[fault.kind] += 1
        self._note("fault", f"{fault.kind} of={fault.of} amount={fault.amount:.3f}")

    def clear(self) -> None:
        """No fault strikes any more."""
        self._waiting.clear()
