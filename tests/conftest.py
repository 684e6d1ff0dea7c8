"""Shared by all tests. Hypothesis runs without deadlines and derandomised: a run's result depends on the code alone,
never on how busy the machine is."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter

import pytest
from hypothesis import settings

pytest_plugins = ["tests.worlds.object_store", "tests.worlds.postgres"]

settings.register_profile("streamwarm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("streamwarm")

PACKAGES = {"chromium": "chromium", "node": "nodejs"}
"""The Debian package of each program that a test may need and that pip cannot install."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program): does not run where the program is not installed; fails in CI")
    # A shell's background job ignores SIGINT, and so do its children: no Ctrl-C would reach a command.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program that is not installed. CI installs them, so there their absence is a failure."""
    for marker in item.iter_markers("needs"):
        program = marker.args[0]
        if shutil.which(program) is not None:
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed, and CI must run every test: {_install(program)}")
        pytest.skip(_reason(program))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud how many tests did not run, and how to get what they need."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    counts = Counter(program for program in PACKAGES for text in skipped if _reason(program) in text)
    for program, count in counts.items():
        tests = "1 test" if count == 1 else f"{count} tests"
        line = f"NOT RUN: {tests} without {program}; to run them: {_install(program)}"
        terminalreporter.write_line(line, yellow=True)


def _reason(program: str) -> str:
    return f"needs {program}, which is not installed"


def _install(program: str) -> str:
    return f"apt-get update && apt-get install -y {PACKAGES[program]}"
