"""Shared by all tests. Hypothesis runs without deadlines and derandomised: a run's result depends on the code alone,
never on how busy the machine is."""

from __future__ import annotations

import signal

from hypothesis import settings

pytest_plugins = ["tests.worlds.object_store", "tests.worlds.postgres"]

settings.register_profile("streamwarm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("streamwarm")


def pytest_configure() -> None:
    """A shell's background job ignores SIGINT, and so do its children: no Ctrl-C would reach a command."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
