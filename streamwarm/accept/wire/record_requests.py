"""Requests about records as values, and how their params are parsed (contract, section 5). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from streamwarm.accept.wire.table import (
    DEFAULT_LIMIT,
    FORGET,
    IMPORT,
    INVALID,
    LOOKUP,
    MAX_VERIFIED,
    RECORDS,
    REFRESH,
    VERIFY,
)
from streamwarm.backlog.records import RecordFilter, RecordPlace, RefreshRequest
from streamwarm.model import Kind


@frozen
class Lookup:
    """Names a warm record: by destination, kind, and exactly one of digest and key."""

    destination: str
    kind: Kind
    sha256: str | None = None
    r2_key: str | None = None


@frozen
class FindRecord:
    lookup: Lookup


@frozen
class ForgetRecord:
    """`file_id`: only if the record still has it."""

    lookup: Lookup
    file_id: str | None = None


@frozen
class ListRecords:
    which: RecordFilter
    limit: int = DEFAULT_LIMIT
    after: RecordPlace | None = None


@frozen
class ReportInvalid:
    """A sender could not use `file_id`; `error` is what it was told."""

    lookup: Lookup
    file_id: str
    error: str | None = None


@frozen
class ImportRecords:
    """`records` are unchecked; each is checked on its own later."""

    records: Sequence[object]
    replace: bool = False


@frozen
class VerifyRecords:
    destination: str
    prefix: str = ""
    limit: int = MAX_VERIFIED
    after: RecordPlace | None = None


RecordRequest = FindRecord | ForgetRecord | ListRecords | ReportInvalid | ImportRecords | VerifyRecords | RefreshRequest
"""A method on records with its checked params."""


def parse_records(params: Mapping[str, Any]) -> ListRecords:
    values = RECORDS.read(params)
    limit, after, prefix = values.pop("limit"), values.pop("after"), values.pop("prefix")
    return ListRecords(RecordFilter(**values, prefix=prefix or ""), limit, after)


def parse_import(params: Mapping[str, Any]) -> ImportRecords:
    return ImportRecords(**IMPORT.read(params))


def parse_verify(params: Mapping[str, Any]) -> VerifyRecords:
    values = VERIFY.read(params)
    return VerifyRecords(**{**values, "prefix": values["prefix"] or ""})


def parse_refresh(params: Mapping[str, Any]) -> RefreshRequest:
    values = REFRESH.read(params)
    which = RecordFilter(values["destination"], prefix=values["prefix"] or "", warning=values["warning"])
    return RefreshRequest(which, values["always"], values["dry_run"])


def _forget(params: Mapping[str, Any]) -> ForgetRecord:
    values = FORGET.read(params)
    file_id = values.pop("file_id")
    return ForgetRecord(Lookup(**values), file_id)


def _invalid(params: Mapping[str, Any]) -> ReportInvalid:
    values = INVALID.read(params)
    file_id, error = values.pop("file_id"), values.pop("error")
    return ReportInvalid(Lookup(**values), file_id, error)


RECORD_PARSERS: Mapping[str, Callable[[Mapping[str, Any]], RecordRequest]] = {
    "find": lambda params: FindRecord(Lookup(**LOOKUP.read(params))),
    "records": parse_records,
    "invalid": _invalid,
    "import": parse_import,
    "verify": parse_verify,
    "refresh": parse_refresh,
    "forget": _forget,
}
"""A further method on records is a class above, a shape in `table.py` and a line here."""
