"""How an attempt ended: what a worker has to say of it, for `Store.settle` to write down."""

from __future__ import annotations

from attrs import frozen

from streamwarm.backlog.shared_limits import Silence
from streamwarm.errors import JobError
from streamwarm.model import JsonObject, Lease, SeenObject, State


@frozen
class Done:
    """The attempt succeeded: the job ends `done`, its media key becomes warm, and what was seen of the object is
    remembered in `media_store`, in one transaction."""

    lease: Lease
    result: JsonObject
    seen: SeenObject


@frozen
class Failed:
    """The attempt failed for good: the job ends `state`, `failed` or (answer lost, policy `hold`) `unknown`."""

    lease: Lease
    error: JobError
    state: State = State.FAILED


@frozen
class Retry:
    """The attempt failed and another follows at `retry_at` (Unix seconds): the job goes to `waiting`.

    `counts` False gives the attempt number back. `possible_duplicate` marks the job where the answer was lost. The
    `silence` that the destination asked for is told to all processes, even where the lease was lost.
    """

    lease: Lease
    error: JobError
    retry_at: float
    counts: bool = True
    possible_duplicate: bool = False
    silence: Silence | None = None


@frozen
class Release:
    """The attempt was interrupted (shutdown): the job is `queued` again at once, with its attempt number given back."""

    lease: Lease


Settlement = Done | Failed | Retry | Release
