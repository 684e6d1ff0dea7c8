"""The command line of the comparison. `tools/bench/run` runs it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import trio
from attrs import asdict

from peers.copying import copy_medians, copy_runs, copy_table
from peers.far_sides import make_certificate
from peers.measure import Figures, all_workers, measure
from peers.plots import plot
from peers.report import tables, written_into
from peers.targets import medians_of, targets_table
from peers.workloads import make_workloads

SEED_WORKER = Path(__file__).parent.parent / "seed_worker"
COPY = "copy"
WORKLOADS = ("a", "b", "c", "d", "paced", COPY)
NAMES = tuple(all_workers(Path()))

Runs = dict[str, dict[str, list[Figures]]]
Failures = dict[tuple[str, str], str]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--scale", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="Share of it."
)
@click.option("--repeats", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option("--workload", "only", multiple=True, type=click.Choice(WORKLOADS), help="Default: all; may be repeated.")
@click.option("--worker", "names", multiple=True, type=click.Choice(NAMES), help="Default: all; may be repeated.")
@click.option("--tls", is_flag=True, help="TLS on both sides; it costs the far sides as much as the workers.")
@click.option("--undici", type=click.Path(path_type=Path), help="A folder to install undici into, and to keep.")
@click.option(
    "--write", type=click.Path(path_type=Path, dir_okay=False), help="Write tables into this page, plots beside."
)
@click.option("--json", "as_json", is_flag=True, help="Print every run's figures as JSON instead of tables.")
def main(
    *,
    scale: float,
    repeats: int,
    only: tuple[str, ...],
    names: tuple[str, ...],
    tls: bool,
    undici: Path | None,
    write: Path | None,
    as_json: bool,
) -> None:
    """Run ours and every peer on the same work, in turn, and tell throughput, latency, CPU and memory."""
    _check_tools(tls)
    workloads = {name: work for name, work in make_workloads(scale).items() if not only or name in only}
    with tempfile.TemporaryDirectory(prefix="streamwarm-peers-") as scratch:
        folder = _install_undici(undici or Path(scratch) / "undici")
        certificate = make_certificate(Path(scratch)) if tls else []
        workers = {name: run for name, run in all_workers(folder).items() if not names or name in names}
        runs, failures = trio.run(_compare, workloads, workers, repeats, certificate)
    copied = _copy(scale, repeats, tls) if not only or COPY in only else None
    if as_json:
        told: dict[str, Any] = {n: {w: [asdict(f) for f in fs] for w, fs in by.items()} for n, by in runs.items()}
        click.echo(json.dumps(told if copied is None else {**told, COPY: copied}))
    else:
        medians = medians_of(runs)
        judged = targets_table(workloads, medians, copy_medians(copied) if isinstance(copied, dict) else None)
        files = {name: f"performance-{name}.svg" for name, each in medians.items() if each and write is not None}
        text = tables(workloads, runs, failures, command=_command(), targets=judged, plots=files)
        if copied is not None:
            text = f"{text}\n\n{copy_table(copied, scale)}"
        click.echo(text)
        if write is not None:
            _write(write, text, {file: plot(workloads[name], medians[name]) for name, file in files.items()})
    sys.exit(1 if any(worker == "streamwarm" for _, worker in failures) else 0)


def _copy(scale: float, repeats: int, tls: bool) -> dict[str, list[dict[str, Any]]] | str:
    click.echo("(copy) …", err=True)
    return copy_runs(scale, repeats, tls=tls)


def _check_tools(tls: bool) -> None:
    missing = [tool for tool in ("node", "npm", "curl", *(["openssl"] if tls else [])) if shutil.which(tool) is None]
    if missing:
        raise click.UsageError(f"{', '.join(missing)}: not found; install it, the peers need it")


def _write(page: Path, text: str, drawn: dict[str, str]) -> None:
    for name, svg in drawn.items():
        page.with_name(name).write_text(svg, "utf-8")
    before = page.read_text("utf-8") if page.exists() else "# Figures\n"
    page.write_text(written_into(before, text), "utf-8")


def _command() -> str:
    """As it can be given elsewhere: without the folders of this machine."""
    words = iter(sys.argv[1:])
    kept = []
    for word in words:
        if word in ("--undici", "--write"):
            next(words)
        else:
            kept.append(word)
    return shlex.join(["tools/bench/run", *kept])


async def _compare(
    workloads: dict[str, Any], workers: dict[str, Any], repeats: int, certificate: list[str]
) -> tuple[Runs, Failures]:
    runs: Runs = {name: {worker: [] for worker in workers} for name in workloads}
    failures: Failures = {}
    for name, workload in workloads.items():
        for repeat in range(repeats):
            for worker, run in workers.items():
                if (name, worker) in failures:
                    continue
                click.echo(f"({name}) run {repeat + 1} of {repeats}: {worker} …", err=True)
                try:
                    runs[name][worker].append(await measure(run, workload, certificate))
                except* Exception as group:  # one worker's failure must not cost the others their figures
                    failures[name, worker] = _why(group)
                    click.echo(f"  failed: {failures[name, worker]}", err=True)
    return runs, failures


def _why(group: BaseExceptionGroup[Any]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{error or type(error).__name__}".split())[:300].replace("|", "/")


def _install_undici(folder: Path) -> Path:
    """A folder with undici and the seed worker in it: modules are looked up from where a script lies."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in SEED_WORKER.iterdir():
        if file.suffix in (".mjs", ".json"):
            shutil.copy(file, folder)
    if not (folder / "node_modules" / "undici").exists():
        install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--no-package-lock"]
        subprocess.run(install, cwd=folder, check=True)
    return folder


if __name__ == "__main__":
    main()
