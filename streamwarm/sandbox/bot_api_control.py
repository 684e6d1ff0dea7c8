"""The sandbox's own addresses: deliveries, faults and traffic over HTTP, for tests and demos in other processes.

`GET /sandbox/deliveries?after=SEQ&limit=N`, `GET /sandbox/traffic`, and `/sandbox/faults` with GET (the
waiting faults), POST (a `Fault` as a JSON object, or a list of them) and DELETE.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

import cattrs
from attrs import asdict, define
from cattrs.errors import ForbiddenExtraKeysError

from streamwarm.sandbox.bot_api_methods import Telegram
from streamwarm.sandbox.bot_api_replies import BotApiError, Reply, bad_request, success
from streamwarm.sandbox.faults import Fault, FaultPlan
from streamwarm.sandbox.http_connection import Request

MAX_PAGE = 1000
"""The most deliveries in one answer: about half a megabyte."""

_CONVERTER = cattrs.Converter(forbid_extra_keys=True, detailed_validation=False)


@define
class Traffic:
    """Counts since the start. `uploads_peak` is the most uploads that were open at one time."""

    requests: int = 0
    uploads_open: int = 0
    uploads_peak: int = 0
    upload_bytes: int = 0
    faults: int = 0

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count one upload as open inside the block."""
        self.uploads_open += 1
        self.uploads_peak = max(self.uploads_peak, self.uploads_open)
        try:
            yield
        finally:
            self.uploads_open -= 1


def answer_control(request: Request, body: bytes, telegram: Telegram, faults: FaultPlan, traffic: Traffic) -> Reply:
    """Answer a request under `/sandbox/`. Raises `BotApiError`."""
    match request.method, request.path:
        case "GET", "/sandbox/deliveries":
            return success(_deliveries(request.query, telegram))
        case "GET", "/sandbox/traffic":
            return success(asdict(traffic))
        case "GET", "/sandbox/faults":
            return success([asdict(fault) for fault in faults.waiting])
        case "POST", "/sandbox/faults":
            return success(_inject(body, faults))
        case "DELETE", "/sandbox/faults":
            faults.clear()
            return success(True)
        case _:
            raise BotApiError(404, "Not Found: see bot_api_control.py for what the sandbox answers")


def _deliveries(query: str, telegram: Telegram) -> dict[str, Any]:
    """Return a page of deliveries. `last_seq` is the number of all deliveries; a gap after `after` means that older
    ones were dropped at `keep`."""
    given = parse_qs(query)
    try:
        after, limit = (int(given.get(name, [default])[0]) for name, default in (("after", "0"), ("limit", "1000")))
    except ValueError as error:
        raise bad_request("after and limit must be whole numbers") from error
    dropped = telegram.delivered - len(telegram.deliveries)
    start = max(0, after - dropped)
    page = islice(telegram.deliveries, start, start + max(0, min(limit, MAX_PAGE)))
    return {"deliveries": [asdict(delivery) for delivery in page], "last_seq": telegram.delivered}


def _inject(body: bytes, plan: FaultPlan) -> int:
    try:
        given = json.loads(body)
        faults = [_fault(members) for members in (given if isinstance(given, list) else [given])]
        for fault in faults:
            plan.add(fault)
    except (ValueError, TypeError, KeyError, RecursionError, ForbiddenExtraKeysError) as error:
        raise bad_request(f"not a fault: {error}") from error
    return len(faults)


def _fault(members: Any) -> Fault:
    if not isinstance(members, dict):
        raise TypeError("expected a JSON object whose members are those of Fault")
    return _CONVERTER.structure(members, Fault)
