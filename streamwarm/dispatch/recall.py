"""Counts what destinations' lanes took just before the service started, from the jobs that are done."""

from __future__ import annotations

from streamwarm.backlog.store import Filter, Store
from streamwarm.dispatch.limits import Limits
from streamwarm.model import State

RECALLED_S = 60.0
"""The longest window of any quota, in seconds: what was sent before it does not count any more."""

RECALLED_JOBS = 500
"""How many of the newest done jobs are read. A group takes 20 messages in that time; a bot sends 1,800 at most."""


async def recall_lanes(store: Store, limits: Limits) -> None:
    """Count what each lane took in the last minute, so that a restart does not send into chats whose minute is full.

    Lanes' moved addresses must be known already. Raises `StoreUnavailable`.
    """
    done = await store.list_jobs(Filter(state=State.DONE), limit=RECALLED_JOBS)
    since = store.now() - RECALLED_S
    for job in done.jobs:
        chat_id = (job.result or {}).get("chat_id")
        if job.updated_at > since and chat_id is not None:
            # Never later than now: a clock that was set back since has ended it.
            limits.recall(job.destination, str(chat_id), min(job.updated_at, store.now()))
