"""The values that `Store.settle` takes: how an attempt ended. `settle/` brings them from the workers to the store."""

from __future__ import annotations

from attrs import frozen

from streamwarm.backlog.shared_limits import Cooldown, SetAside
from streamwarm.errors import JobError
from streamwarm.model import Barred, JsonObject, Lease, SeenObject, State


@frozen
class Ran:
    """What the worker knows of its attempt: its number in the process, the lane's address, and how many bytes it sent
    to the destination. None: not known, because no worker had the claim yet."""

    worker: int | None = None
    lane: str | None = None
    bytes: int | None = None


NOT_RUN = Ran()


@frozen
class Done:
    """The attempt succeeded. In one transaction the job becomes `done`, its media key becomes warm, and `media_store`
    records what was seen of the object. `takes_again`: the lane that had refused this kind. `opened_at`: when the
    object was opened (the GET's head), by the store's clock; None means now."""

    lease: Lease
    result: JsonObject
    seen: SeenObject
    takes_again: str | None = None
    opened_at: float | None = None
    ran: Ran = NOT_RUN


@frozen
class Failed:
    """The attempt failed and none follows. The job becomes `state`: `failed`, or `unknown` if the answer was lost and
    the policy is `hold`. `set_aside` is stored as that of a `Retry`."""

    lease: Lease
    error: JobError
    state: State = State.FAILED
    set_aside: SetAside | None = None
    ran: Ran = NOT_RUN


@frozen
class Retry:
    """The attempt failed and another follows at `retry_at` (Unix seconds). The job becomes `waiting`.

    If `counts` is False, the attempt is not counted. `possible_duplicate` marks the job: the answer was lost. The
    `cooldown` that the destination asked for is stored for all processes, even if the lease was lost. So is
    `set_aside`. `barred`: the lanes that the job does not go to next; None leaves them as they were.
    """

    lease: Lease
    error: JobError
    retry_at: float
    counts: bool = True
    possible_duplicate: bool = False
    cooldown: Cooldown | None = None
    set_aside: SetAside | None = None
    barred: Barred | None = None
    ran: Ran = NOT_RUN


@frozen
class Release:
    """The attempt was interrupted (shutdown). The job becomes `queued` at once, and the attempt is not counted."""

    lease: Lease
    ran: Ran = NOT_RUN


Settlement = Done | Failed | Retry | Release
