"""What is observed of the store itself, beside `observations.StoreTrouble`."""

from __future__ import annotations

from attrs import frozen

from streamwarm.watch.observations import Observation


@frozen
class OddRowFound(Observation):
    """A row that this version cannot read is set aside and stays as it is. Reported once for each row."""

    table: str
    key: str
    why: str
    remedy: str = "run the newer streamwarm that wrote it, or correct that column, or delete the row"


@frozen
class StoreRecovered(Observation):
    """The store takes writes again, `after_s` seconds after it first failed."""

    after_s: float
