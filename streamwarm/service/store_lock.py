"""Locks a SQLite store; waits if members of a killed supervisor still hold the lock (`sqlite/service_lock`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

import trio

from streamwarm.backlog.sqlite.service_lock import lock_service
from streamwarm.errors import StoreLocked
from streamwarm.watch.observations import Observer, StoreTrouble

LEFTOVER_WAIT_S = 90.0
"""How long a start waits for the members of a killed supervisor. They drain for `serve.drain_s` (30) and then end what
still runs. An orchestrator that restarts the service at once must not find it refused."""

_LOCK_POLL_S = 0.1
"""Nothing reports that a lock is free, so it is tried at this interval."""


@asynccontextmanager
async def lock_when_free(path: str, observe: Observer) -> AsyncIterator[Sequence[int]]:
    """Lock the file. If the members of a killed supervisor still hold it, wait until their transfers have ended."""
    with ExitStack() as stack:
        give_up_at = trio.current_time() + LEFTOVER_WAIT_S
        is_reported = False
        while True:
            try:
                descriptors = stack.enter_context(lock_service(path))
                break
            except StoreLocked as error:
                if not error.leftover or trio.current_time() > give_up_at:
                    raise
                if not is_reported:
                    observe(StoreTrouble("starting", f"{error}; waiting for at most {LEFTOVER_WAIT_S:g} s"))
                is_reported = True
            await trio.sleep(_LOCK_POLL_S)
        yield descriptors
