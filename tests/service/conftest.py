"""Fixtures of the tests of whole services."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["--url", "--http-url"])
def way(request: pytest.FixtureRequest) -> str:
    """How a command reaches the service: over the websocket or over HTTP."""
    return str(request.param)
