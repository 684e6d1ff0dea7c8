"""The contract's reasons to refuse a whole call, in one table for the websocket and HTTP. Pure."""

from __future__ import annotations

from enum import Enum
from math import ceil
from typing import NamedTuple

from streamwarm.accept.wire.table import MAX_JOBS


class _Wire(NamedTuple):
    text: str
    rpc_code: int
    http_status: int


class Reason(_Wire, Enum):
    """Why a call is refused (contract, section 5). The HTTP status says the same to HTTP clients and proxies."""

    QUEUE_FULL = _Wire("queue_full", -32001, 503)
    NOT_FOUND = _Wire("not_found", -32002, 404)
    ID_CONFLICT = _Wire("id_conflict", -32003, 409)
    DRAINING = _Wire("draining", -32004, 503)
    RATE_LIMITED = _Wire("rate_limited", -32005, 429)
    STORE_UNAVAILABLE = _Wire("store_unavailable", -32006, 503)
    UNREADABLE = _Wire("unreadable", -32007, 409)
    SOURCE_UNAVAILABLE = _Wire("source_unavailable", -32008, 503)


class CallRefusedError(Exception):
    """The call was refused as a whole and changed nothing. `retry_after_s`: seconds until a retry makes sense, None if
    unknown."""

    def __init__(self, reason: Reason, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


def too_often(wait_s: float) -> CallRefusedError:
    """The refusal for a client whose allowance is used up for another `wait_s` seconds."""
    message = (
        f"this client asks too often; wait, put more into one call (a push takes up to {MAX_JOBS:,} jobs), or watch"
    )
    return CallRefusedError(Reason.RATE_LIMITED, message, retry_after_s=ceil(wait_s * 1000) / 1000)
