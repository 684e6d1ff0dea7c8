"""What is observed of warm records, beside the attempts that make them."""

from __future__ import annotations

from attrs import frozen

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind
from streamwarm.watch.observations import Observation


@frozen
class ReferenceReported(Observation):
    """A sender could not use a reference; `error` is what it was told. If it was still the recorded one, its object is
    warmed anew by `job_id`."""

    destination: str
    kind: Kind
    reference: str
    error: str | None
    job_id: str | None


@frozen
class RecordsImported(Observation):
    """Records that were made elsewhere are stored; `refused` were not."""

    imported: int
    refused: int


@frozen
class ReferencesSuspect(Observation):
    """Too many references of a destination were reported, so it is paused."""

    destination: str
    reason: str


@frozen
class JobsUnchanged(Observation):
    """Jobs have ended without an upload: the bucket has the version that is recorded, or did not say."""

    destination: str
    kind: Kind
    jobs: int


@frozen
class JobMissing(Observation):
    """A job has failed without an attempt: its object was warm once, and is not in the bucket any more."""

    id: str
    destination: str
    kind: Kind
    r2_key: str
    code: ErrorCode
    message: str
