"""What a worker hands over to be settled: how an attempt ended, and what it was."""

from __future__ import annotations

from attrs import frozen

from streamwarm.backlog.settlement import Settlement
from streamwarm.errors import AttemptError
from streamwarm.model import Claim, JsonObject, SeenObject


@frozen
class Delivered:
    """An attempt that succeeded: the reference, and what was delivered."""

    result: JsonObject
    seen: SeenObject


@frozen
class Finished:
    """`delivered` where the attempt succeeded, `error` where it failed, neither where it was given back."""

    claim: Claim
    settlement: Settlement
    transfer_s: float
    delivered: Delivered | None = None
    error: AttemptError | None = None
