"""How blocking work leaves the event loop: the type of `trio.to_thread.run_sync`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class RunSync(Protocol):
    """Runs `function(*args)` and returns what it returns: in a worker thread, or, in a simulation, at once.

    `abandon_on_cancel` True: if the caller is cancelled, it does not wait for the function's end.
    """

    async def __call__(self, function: Callable[..., T], /, *args: Any, abandon_on_cancel: bool = False) -> T: ...
