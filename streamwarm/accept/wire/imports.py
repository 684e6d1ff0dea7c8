"""Turns one imported record into a `WarmRecord`, or into the reason why it is refused. Pure.

A record comes from a bot's own table (destination, kind, key, `file_id`), or from `media export`. An exported line has
more members than can be imported: they are left out, for what they say was true for another service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from streamwarm.accept.wire.fields import FieldError, shown
from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.table import FILE_ID, IMPORTED_RECORD
from streamwarm.errors import InvalidJob
from streamwarm.model import NewJob
from streamwarm.send.destination import Destination
from streamwarm.send.verifying import gives_file_ids
from streamwarm.warm_record import WarmRecord

IMPORTED = "import"
"""The `source` of a result that was made elsewhere."""

_LEFT_OUT = ("job_id", "checked_at", "source_state")

_AHEAD_S = 300.0
"""How far another host's clock may be ahead, in seconds."""


@frozen
class Importer:
    """What records are checked against. `accounts` has each destination's account; `now` is Unix seconds.
    `carries_secret` says whether a text has a secret in it."""

    destinations: Mapping[str, Destination]
    accounts: Mapping[str, str]
    now: float
    carries_secret: Callable[[str], bool]

    def read(self, raw: object) -> WarmRecord:
        """The record to store. Raises `FieldError`, whose message says what is wrong and what is allowed."""
        if not isinstance(raw, dict):
            raise FieldError("a record must be an object")
        values = IMPORTED_RECORD.read(_importable(raw))
        destination = self._destination(values)
        result = _result(values, destination)
        warmed_at = self.now if values["warmed_at"] is None else values["warmed_at"]
        if warmed_at > self.now + _AHEAD_S:
            raise FieldError("warmed_at is in the future; give when the reference was made, or leave it out")
        record = WarmRecord(
            destination=destination.name,
            kind=values["kind"],
            r2_key=values["r2_key"],
            sha256=values["sha256"],
            bytes=values["bytes"] or 0,
            result=result,
            job_id="",
            warmed_at=min(warmed_at, self.now),
            account=self.accounts.get(destination.name, ""),
            source_etag=values["source_etag"],
            options=values["options"] or {},
            opened_at=min(warmed_at, self.now),
        )
        _check_job(destination, record)
        if self.carries_secret(json_text([record.r2_key, record.source_etag, record.options, result])):
            raise FieldError("the record has a secret in it, such as a token or a signed address; leave that out")
        return record

    def _destination(self, values: Mapping[str, Any]) -> Destination:
        name, account = values["destination"], values["account"]
        if name not in self.destinations:
            known = ", ".join(sorted(self.destinations)) or "none"
            raise FieldError(f"no destination is called {shown(name)}; configured: {known}")
        own = self.accounts.get(name, "")
        if account is not None and account != own:
            raise FieldError(
                f"account {shown(account)} is not that of {name} ({shown(own)}), and its references work for that "
                "account alone; import them for a destination with that account"
            )
        return self.destinations[name]


def _importable(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a line without those that an export has besides: `_LEFT_OUT`, and what stands in `result`, too."""
    result = raw.get("result")
    left_out = {*_LEFT_OUT, *(result if isinstance(result, dict) else ())} - IMPORTED_RECORD.fields.keys()
    return {name: value for name, value in raw.items() if name not in left_out}


def _result(values: Mapping[str, Any], destination: Destination) -> dict[str, Any]:
    """The reference as it is stored. Raises `FieldError` if there is none."""
    result = dict(values["result"] or {})
    if gives_file_ids(destination):
        file_id = _file_id(values["file_id"], result.get("file_id"))
        unique_id = values["file_unique_id"] or result.get("file_unique_id") or ""
        kind = result.get("kind", values["kind"].value)
        if not isinstance(kind, str) or not isinstance(unique_id, str):
            raise FieldError("result: kind and file_unique_id must be text")
        result |= {"file_id": file_id, "file_unique_id": unique_id, "kind": kind}
    elif values["file_id"] is not None or values["file_unique_id"] is not None:
        raise FieldError(f"file_id: {destination.name} gives no file_ids; give what it answered as result")
    elif not result:
        raise FieldError(f"result is missing; give what {destination.name} answered, such as its etag")
    for name in ("sha256", "bytes", "source_etag"):
        if values[name] is not None:
            result[name] = values[name]
    return {**result, "source": IMPORTED}


def _file_id(given: str | None, in_result: object) -> str:
    if given is not None and in_result not in {None, given}:
        raise FieldError("file_id is another than that in result; give one of them")
    if given is not None:
        return given
    if in_result is None:
        raise FieldError("file_id is missing; give the one that the bot sends")
    return FILE_ID.check("result.file_id", in_result)


def _check_job(destination: Destination, record: WarmRecord) -> None:
    """Raise `FieldError` for a record that no job could make here: its object could not be warmed anew."""
    new = NewJob(record.destination, record.kind, record.r2_key, sha256=record.sha256, options=record.options)
    try:
        destination.check_job(new)
    except InvalidJob as error:
        raise FieldError(str(error)) from None
