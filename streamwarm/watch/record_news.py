"""What is observed of warm records: what comparisons, reports and imports do to them."""

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


@frozen
class RecordsAdopted(Observation):
    """Records of an older version did not say whose they are. They have the accounts of the settings now."""

    records: int


@frozen
class OtherAccounts(Observation):
    """A destination has records, and none is of the account that its settings name: everything is warmed anew."""

    destination: str
    account: str
    records_of: str


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
