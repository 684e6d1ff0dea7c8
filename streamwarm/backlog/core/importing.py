"""What a store does with imported records inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from streamwarm.backlog.core.record_operations import Accounts
from streamwarm.backlog.core.refresh import in_place_of, placed
from streamwarm.backlog.core.stored_record import rewritten
from streamwarm.backlog.core.tables import Tables
from streamwarm.model import JsonObject
from streamwarm.warm_record import WarmRecord

IMPORTED = "import"
"""The `source` of a result that was made elsewhere."""


def import_records(
    tables: Tables, now: float, accounts: Accounts, records: Sequence[WarmRecord], replace: bool
) -> list[str | None]:
    """Returns why each record was refused, None if it was stored."""
    named = [evolve(record, account=record.account or accounts.get(record.destination, "")) for record in records]
    tables.media.lock({record.r2_key for record in named})
    versions = tables.media.versions({record.name for record in named})
    refused: list[str | None] = []
    for record in named:
        known = versions.get(record.name, [])
        answering = next((stored.record for stored in known if stored.answers_by_key), None)
        if answering is not None and _reference(answering) == _reference(record):
            refused.append(None)  # it is known, and what this store knows besides stays as it is
            continue
        if answering is not None and answering.result.get("source") != IMPORTED and not replace:
            refused.append("this service has a record of its own for it; give replace to import this one instead")
            continue
        latest = next((stored.record for stored in known if not stored.superseded), None)
        put = placed(record if latest is None else in_place_of(latest, record), known, now)
        versions[record.name] = rewritten(known, put)
        tables.media.put(put)
        refused.append(None)
    return refused


def _reference(record: WarmRecord) -> JsonObject | str:
    """What a sender uses: the `file_id`, or all that another destination answered."""
    file_id = record.result.get("file_id")
    if isinstance(file_id, str):
        return file_id
    return {name: value for name, value in record.result.items() if name not in {"source", "elapsed_ms"}}
