"""What a newcomer loses without these: a test run that passes with Python alone and says what it left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDY = [("tests/dashboard", "chromium"), ("tests/service/test_bot_examples.py", "node")]


def run_without_programs(tests: str, folder: Path, *, ci: str) -> subprocess.CompletedProcess[str]:
    """Run those of `tests` that need a program, with nothing on the PATH."""
    command = [sys.executable, "-m", "pytest", tests, "-k", "mjs or dashboard", "-p", "no:cacheprovider"]
    environ = {**os.environ, "PATH": str(folder), "CI": ci}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("tests", "program"), NEEDY)
def test_without_the_program_the_run_passes_and_says_how_many_tests_it_left_out(
    tests: str, program: str, tmp_path: Path
) -> None:
    ended = run_without_programs(tests, tmp_path, ci="")
    assert ended.returncode == 0, ended.stdout
    assert "NOT RUN:" in ended.stdout
    assert f"without {program}; to run them: apt-get update && apt-get install -y" in ended.stdout


@pytest.mark.parametrize(("tests", "program"), NEEDY)
def test_in_ci_the_missing_program_fails_the_run(tests: str, program: str, tmp_path: Path) -> None:
    ended = run_without_programs(tests, tmp_path, ci="true")
    assert ended.returncode == 1, ended.stdout
    assert f"{program} is not installed, and CI must run every test" in ended.stdout
