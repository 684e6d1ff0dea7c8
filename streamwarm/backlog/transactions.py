"""What runs a store's operations: each in one transaction, on the rows of one database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from streamwarm.backlog.core.tables import Tables

T = TypeVar("T")

Operation = Callable[[Tables, float], T]
"""What to do in one transaction, given the tables and the store's time (Unix seconds)."""


class Transactions(Protocol):
    """Runs operations. If a method raises `StoreUnavailable`, nothing of the operation is committed."""

    async def write(self, operation: Operation[T], *, makes_live: bool = False) -> T:
        """Run it in a transaction and return once that is durable. `makes_live`: it calls `lock_media_keys`."""
        ...

    async def read(self, operation: Operation[T]) -> T:
        """Run it on a snapshot. It must not write."""
        ...
