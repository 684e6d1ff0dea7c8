"""What every destination gets to work with."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from attrs import frozen

from streamwarm.redact import Redactor, knows_no_secrets


@frozen
class DestinationTools:
    """An HTTP client, a clock and randomness.

    `client` is shared and stays open. `now` gives Unix seconds, `token_hex(n)` gives `2 * n` random hex digits.
    `redact` masks the secrets of the settings in what a server answers; see `streamwarm.redact`.
    """

    client: httpx.AsyncClient
    now: Callable[[], float]
    token_hex: Callable[[int], str]
    redact: Redactor = knows_no_secrets
