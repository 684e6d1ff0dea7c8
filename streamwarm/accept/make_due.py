"""What a resume means for jobs that wait for another attempt: now."""

from __future__ import annotations

from streamwarm.backlog.store import Action, Filter, Store
from streamwarm.model import State

_AT_ONCE = 500
"""Jobs that are made due in one transaction."""


async def make_due(store: Store, destination: str | None) -> None:
    """Queue every waiting job of the destination, or of all (None). Raises `StoreUnavailable`."""
    after: int | None = None
    while True:
        waiting = Filter(State.WAITING, destination)
        batch = await store.change_all(Action.RETRY, waiting, limit=_AT_ONCE, after=after)
        if (after := batch.next) is None:
            return
