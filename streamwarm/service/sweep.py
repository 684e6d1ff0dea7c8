"""Removes, at the start, what killed attempts left at the destinations."""

from __future__ import annotations

from collections.abc import Mapping

from streamwarm.backlog.store import Store
from streamwarm.errors import DestinationError, StoreUnavailable
from streamwarm.model import State
from streamwarm.send.destination import Destination, LeavesTraces
from streamwarm.watch.observations import Observer, SweepFailed


async def sweep_destinations(destinations: Mapping[str, Destination], store: Store, observe: Observer) -> None:
    """Sweep each destination that needs it, one after the other. A failure is observed and stops nothing."""

    async def state_of(job_id: str) -> State | None:
        job = await store.get(job_id)
        return job.state if job else None

    for name, destination in destinations.items():
        if isinstance(destination, LeavesTraces):
            try:
                await destination.sweep(state_of)
            except (DestinationError, StoreUnavailable) as error:
                observe(SweepFailed(name, str(error)))
