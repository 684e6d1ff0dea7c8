"""A pushed job, as a stranger wrote it, into a `NewJob` or the reason why not. Pure: nothing is stored
here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamwarm.accept.wire.fields import (
    FieldError,
    checked_id,
    integer_field,
    key_field,
    kind_field,
    refuse_unknown,
    sha256_field,
    shown,
    text_field,
)
from streamwarm.backlog.store import Refused
from streamwarm.errors import InvalidJob, InvalidOptions
from streamwarm.model import JsonObject, Kind, NewJob
from streamwarm.send.destination import Destination

JOB_KEYS = ("destination", "kind", "r2_key", "sha256", "bytes", "id", "options")

MAX_OPTIONS_BYTES = 16 * 1024
"""Telegram's longest caption is 1024 characters; options are kept with every job, so they cannot be files."""


class _JobRefusedError(FieldError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_job(raw: object, destinations: Mapping[str, Destination]) -> NewJob | Refused:
    """Check one job of a push against the contract (section 4) and its destination's own options.

    A refusal's code is `invalid_job`, `unknown_destination`, `unknown_kind` or `invalid_options`.
    """
    try:
        return _parse(raw, destinations)
    except _JobRefusedError as refusal:
        return Refused(refusal.code, str(refusal))
    except FieldError as error:
        return Refused("invalid_job", str(error))


def _parse(raw: object, destinations: Mapping[str, Destination]) -> NewJob:
    if not isinstance(raw, dict):
        raise FieldError("a job must be an object")
    refuse_unknown(raw, JOB_KEYS, "the job")
    destination = _destination(raw, destinations)
    job = NewJob(
        destination=destination.name,
        kind=_kind(raw),
        r2_key=key_field(raw),
        sha256=sha256_field(raw),
        bytes=integer_field(raw, "bytes"),
        id=None if raw.get("id") is None else checked_id(raw["id"]),
        options=_options(raw),
    )
    try:
        destination.check_job(job)
    except InvalidOptions as error:
        raise _JobRefusedError("invalid_options", str(error)) from None
    except InvalidJob as error:
        raise _JobRefusedError("invalid_job", str(error)) from None
    return job


def _destination(raw: Mapping[str, Any], destinations: Mapping[str, Destination]) -> Destination:
    name = text_field(raw, "destination")
    if name not in destinations:
        known = ", ".join(sorted(destinations)) or "none"
        raise _JobRefusedError("unknown_destination", f"no destination is called {shown(name)}; configured: {known}")
    return destinations[name]


def _kind(raw: Mapping[str, Any]) -> Kind:
    try:
        return kind_field(raw)
    except FieldError as error:
        raise _JobRefusedError(
            "unknown_kind" if isinstance(raw.get("kind"), str) else "invalid_job", str(error)
        ) from None


def _options(raw: Mapping[str, Any]) -> JsonObject:
    options = raw.get("options")
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise _JobRefusedError("invalid_options", "options must be an object")
    try:
        size = len(json.dumps(options, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise _JobRefusedError("invalid_options", "options hold a lone surrogate, which UTF-8 cannot hold") from None
    if size > MAX_OPTIONS_BYTES:
        raise _JobRefusedError("invalid_options", f"options must be at most {MAX_OPTIONS_BYTES} bytes of JSON")
    return options
