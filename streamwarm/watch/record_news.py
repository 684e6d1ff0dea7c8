"""What comparisons of records with their objects have found, as observations."""

from __future__ import annotations

from attrs import frozen

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind
from streamwarm.watch.observations import Observation


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
