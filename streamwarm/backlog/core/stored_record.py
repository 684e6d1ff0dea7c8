"""A warm record as the store keeps it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from streamwarm.warm_record import WarmRecord


@frozen
class StoredRecord:
    """A warm record, and what only the store needs of it. Times are Unix seconds.

    `superseded`: a later opened version of the name has a record, so this one answers by digest only. `suspect_at`:
    since when it is not answered at all, because a sender could not use its reference. `reported_at`: when the object
    was last queued again for such a report; all versions of a name have the same.
    """

    record: WarmRecord
    superseded: bool = False
    suspect_at: float | None = None
    reported_at: float | None = None

    @property
    def answers_by_key(self) -> bool:
        return not self.superseded and self.suspect_at is None


def rewritten(
    versions: Sequence[StoredRecord], put: Sequence[StoredRecord], deleted: Sequence[WarmRecord] = ()
) -> list[StoredRecord]:
    """The versions of a name after some were deleted and then some written."""
    by_version = {stored.record.version: stored for stored in versions}
    for record in deleted:
        by_version.pop(record.version, None)
    return list((by_version | {stored.record.version: stored for stored in put}).values())
