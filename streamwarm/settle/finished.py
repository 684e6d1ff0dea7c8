"""What a worker hands over to be settled."""

from __future__ import annotations

from attrs import frozen

from streamwarm.backlog.settlement import Settlement
from streamwarm.model import Claim


@frozen
class Finished:
    """An attempt that has ended: what it was, how it ended, and how many seconds it took.

    `called_off`: it was ended because its job was cancelled or its lease was lost, so there may be nothing to settle.
    """

    claim: Claim
    settlement: Settlement
    seconds: float
    called_off: bool = False
