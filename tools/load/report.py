"""The report of a run as one HTML file: the table, the options, and what happened over time. Pure."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from typing import Any

from load.charts import Chart, Line, Point, bar_chart, figure, histogram, line_chart
from load.ledger import Record
from load.options import Options
from load.sampler import Sample
from load.table import rows

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1360px; margin: 2rem auto; padding: 0 1rem;
       color: #1f2937; background: #fff; }
table { border-collapse: collapse; } td, th { padding: .15rem 1rem .15rem 0; text-align: left; }
td + td { font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1.5rem; margin: 2rem 0; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
.bad { color: #b91c1c; }
@media (prefers-color-scheme: dark) { body { color: #e5e7eb; background: #111827; } .bad { color: #f87171; } }
"""


def html_report(
    summary: Mapping[str, Any], options: Options, records: Sequence[Record], samples: Sequence[Sample]
) -> str:
    """A page that needs nothing but itself."""
    verdict = "every job ended as expected" if summary["ok"] else '<span class="bad">not as expected</span>'
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()} · {summary['jobs']:,} jobs, {options.mix}, {options.loop}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>streamwarm load report</title>'
        f"<style>{_STYLE}</style><h1>Load report: {verdict}</h1><p>{escape(head)}</p>{_table(rows(summary))}"
        f'<div class="charts">{"".join(_charts(records, samples))}</div>{_wrong(summary["wrong"])}</html>'
    )


def _charts(records: Sequence[Record], samples: Sequence[Sample]) -> Iterable[str]:
    return (figure(chart, svg) for chart, svg in _plots(records, samples))


def _plots(records: Sequence[Record], samples: Sequence[Sample]) -> Iterable[tuple[Chart, str]]:
    done_ms = [r.push_to_end_s * 1000 for r in records if r.state == "done" and r.push_to_end_s is not None]
    throughput = Chart("Throughput", "seconds", "jobs a second")
    yield throughput, line_chart(throughput, [Line("jobs", _throughput(samples))])
    latency = Chart("Push → done", "milliseconds, each bar up to", "jobs")
    yield latency, bar_chart(latency, histogram(done_ms))
    depth = Chart("Queue depth", "seconds", "jobs")
    queued = Line("queued or waiting", [(s.at_s, s.queued) for s in samples])
    yield depth, line_chart(depth, [queued, Line("workers busy", [(s.at_s, s.busy) for s in samples])])
    memory = Chart("Resident memory of the service", "seconds", "MB")
    yield memory, line_chart(memory, [Line("resident", [(s.at_s, s.resident_bytes / 1e6) for s in samples])])


def _throughput(samples: Sequence[Sample]) -> list[Point]:
    return [(b.at_s, (b.ended - a.ended) / (b.at_s - a.at_s)) for a, b in pairwise(samples) if b.at_s > a.at_s]


def _table(lines: Iterable[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><td>{escape(a)}<td>{escape(b)}' for a, b in lines)}</table>"


def _wrong(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f'<h2 class="bad">What went wrong</h2><ul>{"".join(f"<li>{escape(line)}" for line in lines)}</ul>'
