"""What a worker hands over to be settled."""

from __future__ import annotations

from attrs import frozen

from streamwarm.backlog.settlement import Settlement
from streamwarm.model import Claim


@frozen
class Finished:
    """An attempt that has ended: what it was, how it ended, and how many seconds it took."""

    claim: Claim
    settlement: Settlement
    seconds: float
