"""The interface of destinations whose references senders use, and of those that can be asked about them."""

from __future__ import annotations

from enum import Enum
from typing import Literal, Protocol, runtime_checkable

from attrs import frozen

from streamwarm.model import JsonObject


class Works(Enum):
    """Whether a reference still works."""

    GOOD = "good"
    BAD = "bad"
    UNPROVEN = "unproven"
    """The destination was not asked, or its answer does not say."""


@frozen
class Verified:
    """What a destination said of a reference. `why` is for users; it is empty if the reference is good."""

    works: Works
    why: str = ""


@runtime_checkable
class GivesFileIds(Protocol):
    """A destination whose reference is a `file_id`: senders use it, and report one that does not work."""

    gives_file_ids: Literal[True]


@runtime_checkable
class Verifies(Protocol):
    """A destination that can be asked whether its references still work, without sending anything."""

    async def verify(self, result: JsonObject) -> Verified:
        """Ask for one reference; `result` is that of a record. Raises `DestinationError` if the destination could not
        be asked: it is unavailable, or refuses every request for a while."""
        ...


def gives_file_ids(destination: object) -> bool:
    return isinstance(destination, GivesFileIds)
