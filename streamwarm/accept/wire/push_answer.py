"""The answer to a push: what became of each of its jobs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.backlog.store import Pushed, RefusalCode, Refused
from streamwarm.model import JsonObject

RETRY_AFTER_S = 5.0
"""Seconds to wait before pushing again after `queue_full`. Long enough for a full backlog to have room again, and short
for a bulk import."""


def _refused_view(index: int, answer: Refused) -> JsonObject:
    view: dict[str, Any] = {"index": index, "code": answer.code, "message": answer.message}
    return view | ({"retry_after_s": RETRY_AFTER_S} if answer.code is RefusalCode.QUEUE_FULL else {})


def push_view(outcome: Mapping[int, Pushed | Refused]) -> JsonObject:
    """Raises `CallRefusedError` if every job was refused because the backlog is full."""
    accepted: list[JsonObject] = []
    rejected: list[JsonObject] = []
    for index, answer in sorted(outcome.items()):
        if isinstance(answer, Refused):
            rejected.append(_refused_view(index, answer))
        else:
            item: dict[str, Any] = {
                "index": index,
                "id": answer.id,
                "state": answer.state,
                "duplicate": answer.duplicate,
            }
            accepted.append(item if answer.result is None else item | {"result": answer.result})
    if rejected and not accepted and all(item["code"] is RefusalCode.QUEUE_FULL for item in rejected):
        raise CallRefusedError(Reason.QUEUE_FULL, rejected[0]["message"], retry_after_s=RETRY_AFTER_S)
    return {"accepted": accepted, "rejected": rejected}
