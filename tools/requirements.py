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
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = {
    "service.txt": ["--extra", "postgres"],
    "dev.txt": ["--extra", "postgres", "--extra", "sandbox", "--group", "dev"],
    "loadgen.txt": ["--extra", "sandbox", "--group", "loadgen"],
}


def uv() -> str:
    """The `uv` that runs this, or one on PATH."""
    beside = ROOT / ".uv" / "bin" / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        sys.exit("uv is not installed; README's first line installs it")
    return found


def compile_into(target: Path, extras: list[str], *, upgrade: bool) -> None:
    command = [
        *(uv(), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *("--output-file", str(target), *extras, str(ROOT / "pyproject.toml")),
        *(["--upgrade"] if upgrade else []),
    ]
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    check = "--check" in sys.argv
    stale = []
    for name, extras in FILES.items():
        committed = ROOT / "requirements" / name
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / name
            if committed.exists():
                shutil.copy(committed, fresh)
            compile_into(fresh, extras, upgrade="--upgrade" in sys.argv)
            if check and (not committed.exists() or fresh.read_text() != committed.read_text()):
                stale.append(f"requirements/{name}")
            elif not check:
                shutil.copy(fresh, committed)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what pyproject.toml asks for; run tools/requirements.py and commit")


main()
