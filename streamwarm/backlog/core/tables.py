"""The tables a store keeps, as the operations see them: plain reads and writes inside one open transaction.

`operations.py` decides over this interface, so that every store gives the same answers; an implementation
only knows how rows are kept and found. Each method costs what it returns, never what the store holds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Protocol

from attrs import frozen

from streamwarm.backlog.core.ordering import Band
from streamwarm.backlog.core.transitions import StoredJob
from streamwarm.backlog.shared_limits import MovedLane, SharedLimits, Silence, UserPause
from streamwarm.backlog.store import Counts, Filter
from streamwarm.model import Event, Job, MediaKey, QueuedJob, SeenObject, State, WarmRecord

PENDING = frozenset({State.QUEUED, State.WAITING, State.RUNNING})
"""The states that `max_pending` bounds."""


class MediaStatus(StrEnum):
    """The `status` of a `media_cache` row."""

    WARMING = "warming"
    READY = "ready"
    ERROR = "error"


@frozen
class MediaQuery:
    """A look-up of warm records: the exact `key` first, then by the object's digest or name (None: not
    asked)."""

    key: MediaKey
    sha256: str | None
    r2_key: str | None


class Tables(Protocol):
    """All rows of a store, within a transaction.

    Where other hosts write too, rows may change between two reads of one transaction, so it says what it is about to
    change (`jobs_to_change`, `jobs_to_claim`, `hold_keys`) and the others wait. A store with one writer has nothing to
    do there.
    """

    def hold_keys(self) -> None:
        """Until this transaction ends, no other one makes a job live or numbers one."""
        ...

    def jobs_by_id(self, ids: Collection[str]) -> dict[str, StoredJob]: ...

    def jobs_to_change(self, ids: Collection[str]) -> dict[str, StoredJob]:
        """The same, and no other transaction changes them until this one ends."""
        ...

    def jobs_to_claim(self, ids: Collection[str]) -> dict[str, StoredJob]:
        """The same, less those that another transaction is about to change: somebody else claims them."""
        ...

    def live_jobs(self, keys: Collection[MediaKey]) -> dict[MediaKey, StoredJob]: ...

    def last_job_seq(self) -> int:
        """The highest `seq` a job ever had, 0 before the first."""
        ...

    def insert_jobs(self, jobs: Sequence[StoredJob]) -> None: ...

    def update_jobs(self, jobs: Sequence[StoredJob]) -> None: ...

    def extend_leases(self, job_ids: Sequence[str], expires_at: float) -> None: ...

    def delete_jobs(self, jobs: Sequence[Job]) -> None:
        """Delete jobs, their events, and the `media_cache` row of their key unless it is ready."""
        ...

    def page_of_jobs(self, which: Filter, *, limit: int, before_seq: int | None) -> list[Job]:
        """Up to `limit` jobs with a lower `seq`, newest first."""
        ...

    def queued_jobs(self) -> dict[str, int]:
        """How many jobs are queued, by destination (those with none may be left out)."""
        ...

    def queued_at(self, destination: str) -> list[QueuedJob]:
        """All that is queued at a destination, in any order: asked only where it is known to be little."""
        ...

    def base_scores(self, destination: str) -> list[int]:
        """The distinct base scores of its queued jobs."""
        ...

    def queued_in(self, bands: Sequence[Band], limit: int) -> list[QueuedJob]:
        """The first `limit` of all these bands together, by `(queued_at, seq)`."""
        ...

    def due_jobs(self, now: float, limit: int) -> list[StoredJob]:
        """Waiting jobs with `retry_at <= now`, earliest first, to be changed: those that another transaction changes
        are left to it, here and in the two below."""
        ...

    def next_due_at(self) -> float | None: ...

    def running_jobs(self, expired_by: float, limit: int) -> list[StoredJob]:
        """Running jobs whose lease ends at or before that time."""
        ...

    def ended_jobs(self, state: State, ended_before: float, limit: int) -> list[Job]: ...

    def pending_jobs(self) -> int:
        """How many jobs are in a `PENDING` state."""
        ...

    def counts(self) -> Counts: ...

    def append_events(self, events: Sequence[Event]) -> None:
        """Number and keep events, in this order."""
        ...

    def events_after(self, seq: int, limit: int, job_ids: Collection[str] | None) -> list[Event]: ...

    def last_event_seq(self) -> int:
        """The highest `seq` an event ever had, 0 before the first; it does not fall when events are
        pruned."""
        ...

    def ready_records(self, keys: Collection[MediaKey]) -> dict[MediaKey, WarmRecord]:
        """The ready record of each of exactly these keys: one index read a key."""
        ...

    def find_record(self, query: MediaQuery) -> WarmRecord | None: ...

    def put_record(self, key: MediaKey, record: WarmRecord) -> None:
        """Make the key ready, whatever it was."""
        ...

    def mark_media(self, job: Job, status: MediaStatus | None) -> None:
        """Set the status of the job's media key, or with None drop its row; a ready row stays as it is."""
        ...

    def delete_records(self, query: MediaQuery) -> int:
        """Delete every ready record that `find_record` could answer with; how many that were."""
        ...

    def put_seen(self, seen: SeenObject, seen_at: float) -> None: ...

    def put_pause(self, pause: UserPause) -> None:
        """Keep the pause, in place of an earlier one of the same destination."""
        ...

    def delete_pause(self, destination: str | None) -> None: ...

    def count_mend(self, destination: str) -> None:
        """Add one to how often it was mended."""
        ...

    def put_moved_lane(self, moved: MovedLane) -> None:
        """Keep it, in place of an earlier address of the same lane."""
        ...

    def put_silence(self, silence: Silence) -> None:
        """Keep it, unless one of the same place ends later."""
        ...

    def see_process(self, process: str, now: float) -> None:
        """This process is alive now; those that were silent for too long are not."""
        ...

    def shared_limits(self) -> SharedLimits:
        """All of them, those that have run out among them."""
        ...

    def probe(self, now: float) -> None:
        """Write something small, to prove that writing works."""
        ...
