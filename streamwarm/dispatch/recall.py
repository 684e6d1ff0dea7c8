"""What a service that starts knows of its destinations' lanes: what they took just now."""

from __future__ import annotations

from streamwarm.backlog.store import Filter, Store
from streamwarm.dispatch.limits import Limits
from streamwarm.model import State

RECALLED_S = 60.0
"""The longest window of any quota: what was sent before it, counts no more."""

RECALLED_JOBS = 500
"""The newest ones that are done: a bot sends 1,800 in that time at the most, and 20 in a group."""


async def recall_lanes(store: Store, limits: Limits) -> None:
    """Without it, a restart would send a full minute's messages into chats whose minute is full, and earn their 429s.

    Where lanes have moved must be known already. Raises `StoreUnavailable`.
    """
    done = await store.list_jobs(Filter(state=State.DONE), limit=RECALLED_JOBS)
    since = store.now() - RECALLED_S
    for job in done.jobs:
        chat_id = (job.result or {}).get("chat_id")
        if job.updated_at > since and chat_id is not None:
            limits.recall(job.destination, str(chat_id), job.updated_at)
