"""Writes `requirements/*.txt`: every dependency with its hashes and no index address. `--check` only compares.

    uv run python tools/requirements.py [--check | --upgrade]

Versions that a file pins already are kept unless pyproject.toml forbids them, so that the check's answer depends on
the repository alone and not on the day.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = str(ROOT / "pyproject.toml")
FILES = {
    "service.txt": ["--extra", "postgres", PROJECT],
    "dev.txt": ["--extra", "postgres", "--extra", "sandbox", "--group", "dev", PROJECT],
    "loadgen.txt": ["--extra", "sandbox", "--group", "loadgen", PROJECT],
    # What makes the wheel, so that the container's build is hashed as well: the requirements come by standard input.
    "build.txt": ["-"],
}


def uv() -> str:
    """The `uv` that runs this, or one on PATH."""
    beside = ROOT / ".uv" / "bin" / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        sys.exit("uv is not installed; README's first line installs it")
    return found


def build_requirements() -> str:
    return "\n".join(tomllib.loads(Path(PROJECT).read_text())["build-system"]["requires"])


def compile_into(target: Path, asked: list[str], *, upgrade: bool) -> None:
    command = [
        *(uv(), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *("--output-file", str(target), *asked),
        *(["--upgrade"] if upgrade else []),
    ]
    subprocess.run(command, cwd=ROOT, check=True, input=build_requirements(), text=True)


def main() -> None:
    check = "--check" in sys.argv
    stale = []
    for name, asked in FILES.items():
        committed = ROOT / "requirements" / name
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / name
            if committed.exists():
                shutil.copy(committed, fresh)
            compile_into(fresh, asked, upgrade="--upgrade" in sys.argv)
            if check and (not committed.exists() or fresh.read_text() != committed.read_text()):
                stale.append(f"requirements/{name}")
            elif not check:
                shutil.copy(fresh, committed)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what pyproject.toml asks for; run tools/requirements.py and commit")


main()
