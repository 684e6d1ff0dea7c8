"""What every destination gets to work with."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from attrs import frozen


@frozen
class DestinationTools:
    """An HTTP client, a clock and randomness.

    `client` is shared and stays open. `now` gives Unix seconds, `token_hex(n)` gives `2 * n` random hex digits.
    """

    client: httpx.AsyncClient
    now: Callable[[], float]
    token_hex: Callable[[int], str]
