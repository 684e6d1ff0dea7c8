"""What the kernel counts of a process: memory, CPU time, open files. Linux's /proc; elsewhere nothing is known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

_NOT_THE_SERVICE = ("weed", "tether.py")
"""Children that a sandbox inside the service has, which are not the service."""


@frozen
class Usage:
    """Of a service's processes together. `peak_bytes` is each one's own peak, added up."""

    resident_bytes: int
    peak_bytes: int
    cpu_s: float
    open_files: int
    threads: int
    processes: int = 1


def usage(pid: int) -> Usage | None:
    """What the process and the service's processes below it take now; None once it is gone."""
    try:
        each = [_usage_of(one) for one in _family(pid)]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Usage(
        *(sum(getattr(one, name) for one in each) for name in ("resident_bytes", "peak_bytes", "cpu_s")),
        *(sum(getattr(one, name) for one in each) for name in ("open_files", "threads", "processes")),
    )


def listening_pid(port: int) -> int | None:
    """The process that listens on this TCP port, if we may see it."""
    sockets = set(_listening_sockets(port))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            links = [os.readlink(descriptor) for descriptor in (entry / "fd").iterdir()]
        except OSError:
            continue
        if sockets.intersection(links):
            return int(entry.name)
    return None


def _listening_sockets(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        children = Path(f"/proc/{parent}/task").glob("*/children")
        below = [int(child) for listed in children for child in listed.read_text().split()]
        found += [child for child in below if not _is_foreign(child)]
    return found


def _is_foreign(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return True
    return any(os.path.basename(word) in _NOT_THE_SERVICE for word in words[:4])


def _usage_of(pid: int) -> Usage:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    if "VmRSS" not in status:
        raise ProcessLookupError(f"process {pid} has ended and waits to be reaped")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(
        resident_bytes=_kilobytes(status["VmRSS"]),
        peak_bytes=_kilobytes(status["VmHWM"]),
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        open_files=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"]),
    )


def _kilobytes(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * 1024
