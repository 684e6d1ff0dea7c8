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
from load.table import NOT_MEASURED, rows, spreads

STEPS = 60

_STYLE = """
:root { --ink: #1f2937; --soft: #64748b; --page: #f8fafc; --card: #fff; --line: #e2e8f0;
  --good: #047857; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #94a3b8; --page: #0b1120; --card: #111827;
  --line: #1f2937; --good: #34d399; --bad: #f87171; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 0 auto; padding: 1.5rem 1rem 3rem;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .6rem; }
p { color: var(--soft); margin: .25rem 0 1.25rem; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); }
.cards, .grid { display: grid; gap: 1rem; margin-bottom: 1rem; }
.cards { grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); }
.grid { grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); align-items: start; }
section, figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem; margin: 0;
  min-width: 0; }
.cards b { display: block; font-size: 1.45rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.cards span { color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem 0 .25rem .5rem; border-top: 1px solid var(--line); text-align: right; font-weight: 400; }
th { color: var(--soft); border: 0; } td:first-child, th:first-child { text-align: left; padding-left: 0; }
figcaption { font-weight: 600; margin-bottom: .5rem; } svg { display: block; width: 100%; height: auto; }
ul { margin: 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
"""


def html_report(
    summary: Mapping[str, Any], options: Options, records: Sequence[Record], samples: Sequence[Sample]
) -> str:
    """A page that needs nothing but itself."""
    verdict = '<span class="good">all well</span>' if summary["ok"] else '<span class="bad">not as expected</span>'
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()} · {summary['jobs']:,} jobs, {options.mix}, {options.loop}"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>streamwarm load report</title><style>{_STYLE}</style>"
        f"<h1>Load report: {verdict}</h1><p>{escape(head)}</p>{_wrong(summary['wrong'])}{_cards(summary)}"
        f'<div class="grid">{"".join(_charts(records, samples))}</div>'
        f'<div class="grid">{_times(summary)}{_others(summary)}</div></html>'
    )


def _cards(summary: Mapping[str, Any]) -> str:
    shown = dict(rows(summary))
    picked = [(shown[name], name) for name in _CARDS]
    p95 = (summary["push_to_done_ms"] or {}).get("p95")
    picked.insert(2, (NOT_MEASURED if p95 is None else f"{p95:,.0f} ms", "push → done, p95"))
    cards = "".join(f"<section><b>{escape(v)}</b><span>{escape(n)}</span></section>" for v, n in picked)
    return f'<div class="cards">{cards}</div>'


_CARDS = (
    "jobs that ended as expected",
    "media per minute",
    "peak concurrency",
    "peak resident memory",
    "CPU per job",
    "digests checked",
)


def _times(summary: Mapping[str, Any]) -> str:
    head = "<tr><th>milliseconds<th>p50<th>p95<th>p99<th>max"
    lines = "".join(
        f"<tr><td>{escape(name)}"
        + "".join(f"<td>{NOT_MEASURED if v is None else f'{v:,.1f}'}" for v in spread.values())
        for name, spread in spreads(summary)
    )
    return f"<section><h2>Times, from the intended arrival</h2><table>{head}{lines}</table></section>"


def _others(summary: Mapping[str, Any]) -> str:
    named = {name for name, _ in spreads(summary)} | set(_CARDS)
    lines = "".join(f"<tr><td>{escape(a)}<td>{escape(b)}" for a, b in rows(summary) if a not in named)
    return f"<section><h2>Counts</h2><table>{lines}</table></section>"


def _charts(records: Sequence[Record], samples: Sequence[Sample]) -> Iterable[str]:
    return (figure(chart, svg) for chart, svg in _plots(records, samples))


def _plots(records: Sequence[Record], samples: Sequence[Sample]) -> Iterable[tuple[Chart, str]]:
    warmed = [r for r in records if r.state == "done" and not r.duplicate]
    done_ms = [r.push_to_end_s * 1000 for r in warmed if r.push_to_end_s is not None]
    throughput = Chart("Throughput", "seconds", "jobs a second")
    yield throughput, line_chart(throughput, [Line("jobs", _throughput(samples))])
    latency = Chart("Push → done", "milliseconds: each bar ends at", "jobs")
    yield latency, bar_chart(latency, histogram(done_ms))
    depth = Chart("Queue depth", "seconds", "jobs")
    queued = Line("queued or waiting", [(s.at_s, s.queued) for s in samples])
    yield depth, line_chart(depth, [queued, Line("workers busy", [(s.at_s, s.busy) for s in samples])])
    memory = Chart("Resident memory of the service", "seconds", "MB")
    yield memory, line_chart(memory, [Line("resident", [(s.at_s, s.resident_bytes / 1e6) for s in samples])])


def _throughput(samples: Sequence[Sample]) -> list[Point]:
    """Over steps of a sixtieth of the run, or from one sample to the next where those are longer."""
    step_s = samples[-1].at_s / STEPS if samples else 0.0
    kept = list(samples[:1])
    for sample in samples:
        if sample.at_s - kept[-1].at_s >= max(step_s, 0.001):
            kept.append(sample)
    return [(b.at_s, (b.ended - a.ended) / (b.at_s - a.at_s)) for a, b in pairwise(kept)]


def _wrong(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return (
        f'<section style="margin-bottom: 1rem"><h2 class="bad">What went wrong</h2>'
        f"<ul>{''.join(f'<li>{escape(line)}' for line in lines)}</ul></section>"
    )
