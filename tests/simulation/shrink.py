"""Makes a failing plan smaller: leaves out faults, actions, jobs and clients as long as it still fails the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from attrs import evolve

from tests.simulation.plan import Plan

T = TypeVar("T")


def shrink(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """Return the plan without the parts that it can do without and still fail. Without one more, it would not fail."""
    while (smaller := next(filter(fails, _smaller(plan)), None)) is not None:
        plan = smaller
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with less in them, those with much less first."""
    for faults in _without_some(plan.faults):
        yield evolve(plan, faults=faults)
    for jobs in _without_some(plan.jobs):
        numbers = {job.number for job in jobs}
        actions = tuple(action for action in plan.actions if action.job is None or action.job in numbers)
        yield evolve(plan, jobs=jobs, actions=actions)
    for actions in _without_some(plan.actions):
        yield evolve(plan, actions=actions)
    for client in reversed(range(1, plan.clients)):
        yield _without_client(plan, client)


def _without_some(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Yield the items without a half of them, then without a quarter, and so on, in the end without one."""
    size = (len(items) + 1) // 2
    while size:
        for at in range(0, len(items), size):
            yield items[:at] + items[at + size :]
        size //= 2


def _without_client(plan: Plan, client: int) -> Plan:
    """Return the plan without this client. The first client does what it did."""
    actions = tuple(
        evolve(action, client=0 if action.client == client else action.client - (action.client > client))
        for action in plan.actions
    )
    return evolve(plan, clients=plan.clients - 1, actions=actions)
