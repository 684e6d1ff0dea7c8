"""Warm records as values: what a destination answered for one version of an object, under one account.

Pure and immutable, as `model`. Times are Unix seconds (float, UTC).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from attrs import field, frozen

from streamwarm.model import JsonObject, Kind


class MediaWarning(StrEnum):
    """What went less than well with a job that is done: a result's `warnings`, a closed list (contract, section 5)."""

    NO_DIMENSIONS = "no_dimensions"
    """A video or an animation for which Telegram stored no width and height of its own: people see a square."""
    NO_THUMBNAIL = "no_thumbnail"
    """A thumbnail was sent, and Telegram dropped it."""
    INDEX_AT_END = "index_at_end"
    """The index of an MP4 stands at its end, so it plays only once all of it is loaded."""
    OTHER_KIND = "other_kind"
    """Telegram stored the file as another kind than the job asked for."""


def bare_etag(written: str | None) -> str | None:
    """An ETag as records and jobs keep it: unquoted and without `W/`. None if it is absent or empty."""
    return (written or "").strip().removeprefix("W/").strip('"') or None


class SourceState(StrEnum):
    """How a record stands to its object, as they were last compared."""

    CURRENT = "current"
    CHANGED = "changed"
    """The bucket has another version."""
    GONE = "gone"
    """The bucket has no object of this name."""


class RecordName(NamedTuple):
    """What a look-up by key names: one object at one destination, as one kind, under one account."""

    destination: str
    account: str
    kind: Kind
    r2_key: str


class DigestName(NamedTuple):
    """What a look-up by digest names: the same bytes, whatever their object's name is."""

    destination: str
    account: str
    kind: Kind
    sha256: str


@frozen
class WarmRecord:
    """What a destination returned for one version of an object, under one account. A bot looks it up before it sends.

    `sha256` is the digest of the delivered bytes, None if the destination fetched the object by itself. `source_etag`
    is the ETag of that version, unquoted and without `W/`. `options` are the job's own. `opened_at` is when the object
    was opened, or last found to be the same, by the store's clock: of the records of one name, the latest answers by
    key. `checked_at` is when the object was last compared with the record, None if never.
    """

    destination: str
    kind: Kind
    r2_key: str
    sha256: str | None
    bytes: int
    result: JsonObject
    job_id: str
    warmed_at: float
    account: str = ""
    source_etag: str | None = None
    options: JsonObject = field(factory=dict)
    opened_at: float = 0.0
    checked_at: float | None = None
    source_state: SourceState = SourceState.CURRENT

    @property
    def name(self) -> RecordName:
        return RecordName(self.destination, self.account, self.kind, self.r2_key)

    @property
    def answer(self) -> JsonObject:
        """The result of a push that this record answers. Its ETag may have been learned later, by a comparison."""
        return {**self.result, "source_etag": self.source_etag} if "source_etag" in self.result else self.result

    @property
    def version(self) -> str:
        """What tells the versions of one object apart: the digest, or else the ETag. Records that know neither are
        one version."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return "" if self.source_etag is None else f"etag:{self.source_etag}"
