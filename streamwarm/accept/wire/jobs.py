"""Turns one pushed job into a `NewJob`, or into the reason why it is refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streamwarm.accept.wire.fields import FieldError, shown
from streamwarm.accept.wire.table import NEW_JOB
from streamwarm.backlog.store import RefusalCode, Refused
from streamwarm.errors import InvalidJob, InvalidOptions
from streamwarm.model import NewJob
from streamwarm.send.destination import Destination


def parse_job(raw: object, destinations: Mapping[str, Destination]) -> NewJob | Refused:
    """Check one pushed job against the contract (section 4) and its destination's own rules.

    A refusal's code is `invalid_job`, `unknown_destination`, `unknown_kind` or `invalid_options`.
    """
    try:
        return _parse(raw, destinations)
    except FieldError as error:
        return Refused(RefusalCode(error.code), str(error))


def _parse(raw: object, destinations: Mapping[str, Destination]) -> NewJob:
    if not isinstance(raw, dict):
        raise FieldError("a job must be an object")
    NEW_JOB.refuse_unknown(raw)
    # The destination is checked before the other fields, so that a job with several faults is refused for it.
    destination = _destination(NEW_JOB.fields["destination"].read(raw, "destination"), destinations)
    values = NEW_JOB.read(raw)
    job = NewJob(**values | {"destination": destination.name, "options": values["options"] or {}})
    try:
        destination.check_job(job)
    except InvalidOptions as error:
        raise FieldError(str(error), code=RefusalCode.INVALID_OPTIONS) from None
    except InvalidJob as error:
        raise FieldError(str(error)) from None
    return job


def _destination(name: str, destinations: Mapping[str, Destination]) -> Destination:
    if name not in destinations:
        known = ", ".join(sorted(destinations)) or "none"
        message = f"no destination is called {shown(name)}; configured: {known}"
        raise FieldError(message, code=RefusalCode.UNKNOWN_DESTINATION)
    return destinations[name]
