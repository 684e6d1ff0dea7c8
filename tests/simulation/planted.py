"""Run as a program: plants known bugs into a copy of the service, one at a time, and has a seed find each.

A simulation that misses one of them would miss its like in a change.

`python -m tests.simulation.planted [NAME…]` exits 1 if a bug is not found within `--seeds` seeds (500), and fails
loudly if the text that a bug replaces is no longer there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
SEEDS = 500
_FAILURE = re.compile(r"^seed (\d+): .*\n  (.*)", re.MULTILINE)


@frozen
class Edit:
    """`old` stands exactly once in `file`, and is replaced by `new`."""

    file: str
    old: str
    new: str


BUGS: dict[str, Sequence[Edit]] = {
    # A chunked answer that ends without its last chunk passes for whole.
    "trust a clean EOF": [
        Edit(
            "streamwarm/net/body.py",
            'raise httpx.RemoteProtocolError("the server closed the connection within a chunked body")',
            'self.complete = True; return b""',
        ),
    ],
    "drop If-Match": [
        Edit(
            "streamwarm/fetch/r2.py",
            'headers = {"range": f"bytes={offset}-", "if-match": info.etag or ""}',
            'headers = {"range": f"bytes={offset}-"}',
        ),
    ],
    "ignore the lease token": [
        Edit(
            "streamwarm/backlog/core/operations.py",
            "stored.job.state is State.RUNNING and stored.lease_token == lease.token",
            "stored.job.state is State.RUNNING",
        ),
    ],
    # The results of a group go out, and its commit waits for the next group's.
    "acknowledge before commit": [
        Edit(
            "streamwarm/backlog/sqlite/store.py",
            '            connection.execute("BEGIN IMMEDIATE")\n            results',
            "            if connection.in_transaction:\n"
            '                connection.execute("COMMIT")\n'
            '            connection.execute("BEGIN IMMEDIATE")\n            results',
        ),
        Edit(
            "streamwarm/backlog/sqlite/store.py",
            '            connection.execute("COMMIT")\n        finally:\n            _end_transaction(connection)',
            "        finally:\n            pass",
        ),
    ],
    # What seed 173 of an earlier way to draw plans found.
    "forget that a cancelled attempt may have arrived": [
        Edit(
            "streamwarm/backlog/core/transitions.py",
            "possible_duplicate=stored.job.possible_duplicate or was_running)",
            "possible_duplicate=stored.job.possible_duplicate)",
        ),
    ],
    "count a 429 as an attempt": [
        Edit(
            "streamwarm/send/telegram/refusals.py",
            "        retry_after_s=wait_s,\n        counts=False,",
            "        retry_after_s=wait_s,\n        counts=True,",
        ),
    ],
    # A slow attempt that opened the version before ends last, and its record answers.
    "answer an older record": [
        Edit(
            "streamwarm/backlog/core/refresh.py",
            "superseded = any(not s.superseded and new.opened_at < s.record.opened_at <= now for s in others)",
            "superseded = False",
        ),
    ],
    "forget the account of a record": [
        Edit(
            "streamwarm/backlog/core/record_operations.py",
            'return RecordName(destination, accounts.get(destination, ""), kind, r2_key)',
            'return RecordName(destination, "", kind, r2_key)',
        ),
        Edit(
            "streamwarm/backlog/core/record_operations.py",
            'return DigestName(destination, accounts.get(destination, ""), kind, sha256)',
            'return DigestName(destination, "", kind, sha256)',
        ),
        Edit(
            "streamwarm/backlog/core/record_operations.py",
            'account=accounts.get(job.destination, ""),',
            'account="",',
        ),
    ],
    "call what the bucket did not say unchanged": [
        Edit(
            "streamwarm/backlog/core/comparing.py",
            "source = UNVERIFIED if judgement.state is None else UNCHANGED",
            "source = UNCHANGED",
        ),
    ],
}


def plant(bug: Sequence[Edit], root: Path) -> None:
    """Raises `ValueError` if a text to replace is not there exactly once."""
    for edit in bug:
        path = root / edit.file
        source = path.read_text(encoding="utf-8")
        if source.count(edit.old) != 1:
            raise ValueError(
                f"{edit.file} has {source.count(edit.old)} times, and not once:\n{edit.old}\n"
                "the code has changed: write the bug anew in tests/simulation/planted.py"
            )
        path.write_text(source.replace(edit.old, edit.new), encoding="utf-8")


def copy_of_the_service(folder: Path) -> Path:
    for name in ("streamwarm", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def find(name: str, seeds: int, workers: int) -> str | None:
    """What the first failing seed printed, or None."""
    with tempfile.TemporaryDirectory(prefix="streamwarm-planted-") as folder:
        root = copy_of_the_service(Path(folder))
        plant(BUGS[name], root)
        command = [sys.executable, "-m", "tests.simulation", "--stop", "--tail", "1"]
        command += ["--seeds", str(seeds), "--workers", str(workers)]
        finished = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if finished.returncode and not _FAILURE.search(finished.stdout):
        raise RuntimeError(f"the simulation itself failed:\n{finished.stdout[-2_000:]}{finished.stderr[-2_000:]}")
    return finished.stdout if finished.returncode else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted", description=__doc__)
    parser.add_argument("bugs", nargs="*", metavar="NAME", help=f"of: {', '.join(BUGS)}")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    names = options.bugs or list(BUGS)
    missed = 0
    for name in names:
        printed = find(name, options.seeds, options.workers)
        print(f"{name}: {'NOT FOUND' if printed is None else _first_failure(printed)}", flush=True)
        missed += printed is None
    return 1 if missed else 0


def _first_failure(printed: str) -> str:
    match = _FAILURE.search(printed)
    return printed[-500:] if match is None else f"found at seed {match[1]}: {match[2][:150]}"


if __name__ == "__main__":
    sys.exit(main())
