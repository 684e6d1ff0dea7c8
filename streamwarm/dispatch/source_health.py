"""Whether trouble is the bucket's, and when a paused bucket is probed. Pure: times are passed in.

`Health` is what one process knows of the bucket. `after` takes one event and returns the next `Health`. `verdict` says
what an error costs its job, and `probe_in_s` when the bucket is probed next. `source_guard.py` does what they say.

Times are seconds of one monotonic clock, but for `SourcePause.since`, which is the store's.
"""

from __future__ import annotations

import math
from enum import Enum, auto

from attrs import evolve, frozen

from streamwarm.backlog.shared_limits import SourcePause
from streamwarm.errors import Blame
from streamwarm.retry import backoff_s

PROBE_S = 60.0
"""The longest time between two probes of a paused bucket, in seconds (contract, section 4)."""

LOOK_S = 5.0
"""How often a process tries to take the lease that another one holds, in seconds."""

OWN_TURN = 1.1
"""How many times the wait passes before the process that probed last probes again, if there are others. The lease is
free after one wait, so another host comes first: the fault may be of this host alone. A tenth of `PROBE_S` is more than
`LOOK_S`, so the others have looked by then."""


class Verdict(Enum):
    """What an error of the source costs its job."""

    CHARGE = auto()
    """The attempt counts. The error is about the object, or a probe that began after it found the bucket well."""

    RELEASE = auto()
    """The attempt does not count: the bucket is paused."""

    PROBE = auto()
    """It is not known. Probe the bucket, and ask again."""


@frozen
class Probed:
    """This process has probed the bucket. `found` says why it cannot be read; None: it can be read.

    `refused`: the bucket refuses, which lasts until somebody fixes the cause. False: trouble that passes by itself.
    `resumes` is what `Health.resumes` was when the probe began. `has_peers`: other processes may probe, too.
    """

    began_at: float
    ended_at: float
    found: SourcePause | None = None
    refused: bool = False
    resumes: int = 0
    has_peers: bool = False


@frozen
class Saved:
    """The store has been asked to keep the pause that began here. `done` is False if it was not available."""

    at: float
    done: bool


@frozen
class Denied:
    """This process may not probe now: another one holds the lease, or the store is not available."""

    at: float


@frozen
class Read:
    """What the store holds: its pause of the bucket, and how often users have resumed the service.

    `began_at` is when the read began, `ended_at` when it was applied.
    """

    began_at: float
    ended_at: float
    pause: SourcePause | None
    resumes: int


Event = Probed | Saved | Denied | Read


@frozen
class Health:
    """What one process knows of the bucket.

    `pause` is why nothing is read from it. `found_here`: a probe of this process has failed since the pause began. Then
    only its own probe ends it: the fault may be of this host alone. `is_shared`: the store has the pause. `is_unsaved`:
    the pause began here, and the store does not have it yet. `failures` counts the probes in a row that failed.
    `due_at` is when the next one is due. `well_at` is when the last probe that succeeded began. `decided_at`: a read of
    the store that began before it is older than what this process has done. `resumes` is how often users have resumed
    the service, `answered` how many of those the last probe has answered.
    """

    pause: SourcePause | None = None
    found_here: bool = False
    is_shared: bool = False
    is_unsaved: bool = False
    failures: int = 0
    due_at: float = math.inf
    lease_s: float = 0.0
    well_at: float = -math.inf
    decided_at: float = -math.inf
    resumes: int = 0
    answered: int = 0
    has_read: bool = False

    @property
    def is_forced(self) -> bool:
        """Whether a user waits for the next probe. It then takes the lease from whichever process holds it."""
        return self.answered < self.resumes

    def verdict(self, blame: Blame, failed_at: float) -> Verdict:
        """What an error that was raised at `failed_at` costs its job.

        Words that blame the bucket are probed, too. If they were believed and the next probe succeeded, one odd object
        would pause the bucket again and again.
        """
        if blame is Blame.OBJECT:
            return Verdict.CHARGE
        if blame is Blame.PAUSED:
            return Verdict.RELEASE
        if self.well_at >= failed_at:
            return Verdict.CHARGE
        return Verdict.PROBE if self.pause is None else Verdict.RELEASE

    def probe_in_s(self, now: float) -> float:
        """Seconds until the bucket is to be probed; `inf` while it is not paused."""
        return math.inf if self.pause is None else max(0.0, self.due_at - now)


def after(health: Health, event: Event) -> Health:
    """Return what the process knows once the event has happened."""
    match event:
        case Probed(found=None):
            return _well(health, event)
        case Probed():
            return _failed(health, event)
        case Saved(at=at, done=done):
            return evolve(health, is_shared=health.is_shared or done, is_unsaved=not done, decided_at=at)
        case Denied(at=at):
            return evolve(health, due_at=at + LOOK_S)
        case Read():
            return _read(health, event)


def probe_wait_s(failures: int, *, refused: bool) -> float:
    """Seconds until the next probe after so many failed in a row (from 1).

    A refusal ends when somebody fixes its cause, so it is probed once a minute. Other trouble passes by itself, often
    within seconds: the wait doubles from one second to a minute.
    """
    return PROBE_S if refused else min(PROBE_S, backoff_s(failures, 1.0))


def _well(health: Health, probed: Probed) -> Health:
    if health.pause is None:
        return evolve(health, well_at=probed.began_at)
    return _resumed(evolve(health, well_at=probed.began_at, decided_at=probed.ended_at))


def _resumed(health: Health) -> Health:
    return Health(
        well_at=health.well_at,
        decided_at=health.decided_at,
        resumes=health.resumes,
        answered=health.resumes,
        has_read=health.has_read,
    )


def _failed(health: Health, probed: Probed) -> Health:
    failures = health.failures + 1
    wait_s = probe_wait_s(failures, refused=probed.refused)
    failed = evolve(
        health,
        found_here=True,
        failures=failures,
        due_at=probed.ended_at + wait_s * (OWN_TURN if probed.has_peers else 1.0),
        lease_s=wait_s,
        answered=probed.resumes,
    )
    if failed.is_forced and health.pause is not None:
        return evolve(failed, due_at=probed.ended_at)  # a user resumed the service during this probe
    if health.pause is not None:
        return failed
    return evolve(failed, pause=probed.found, is_unsaved=True, decided_at=math.inf, answered=health.resumes)


def _read(health: Health, read: Read) -> Health:
    is_resumed = read.resumes != health.resumes
    health = _resumes(health, read)
    if read.began_at < health.decided_at:
        return health
    is_first = not health.has_read
    health = evolve(health, is_shared=read.pause is not None, has_read=True)
    if read.pause is not None:
        health = evolve(health, is_unsaved=False)
    if read.pause is not None and health.pause is None:
        # A process that starts may have another key, so it probes at once, as if a user had asked for it.
        answered = health.resumes - 1 if is_first or is_resumed else health.resumes
        return evolve(health, pause=read.pause, due_at=read.ended_at, answered=answered)
    if read.pause is None and not health.found_here:
        return _resumed(health)
    return health


def _resumes(health: Health, read: Read) -> Health:
    """Note what users have resumed. While the bucket is paused, that makes a probe due at once."""
    if read.resumes == health.resumes:
        return health
    if health.pause is None:
        return evolve(health, resumes=read.resumes, answered=read.resumes)
    return evolve(health, resumes=read.resumes, answered=min(health.answered, read.resumes - 1), due_at=read.ended_at)
