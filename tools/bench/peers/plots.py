"""The comparison as pictures: a workload's workers as bars, panel by panel, ours in colour. SVG, pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from attrs import frozen

from peers.measure import Figures
from peers.workloads import Workload

PANEL_WIDTH, NAMES_WIDTH, GAP = 250, 104, 26
TOP, ROW, BAR = 66, 26, 16
OURS, OTHERS = "#2563eb", "#94a3b8"
VALUE_WIDTH = 56
"""Room behind the longest bar for its value."""


@frozen
class Panel:
    """One figure: its name with its unit, how it is read, and which way is good."""

    title: str
    read: Callable[[Figures, Workload], float]
    note: str = "less is better"


_JOBS = Panel("jobs a second", lambda f, _: f.jobs_per_s, "more is better")
_MEGABYTES = Panel("MB a second", lambda f, _: f.mb_per_s, "more is better")
_P50 = Panel("p50, ms", lambda f, _: f.p50_s * 1000)
_P95 = Panel("p95, ms", lambda f, _: f.p95_s * 1000)
_CPU_JOB = Panel("CPU-ms a job", lambda f, w: f.cpu_s * 1000 / len(w.jobs))
_CPU_GB = Panel("CPU-s a GB", lambda f, w: f.cpu_s / w.bytes * 1e9)
_MEMORY = Panel("peak resident MB", lambda f, _: f.peak_mb)

PANELS: Mapping[str, Sequence[Panel]] = {
    "a": (_JOBS, _CPU_JOB, _MEMORY),
    "b": (_MEGABYTES, _CPU_GB, _MEMORY),
    "c": (_MEGABYTES, _CPU_GB, _MEMORY),
    "d": (_JOBS, _CPU_JOB, _MEMORY),
    "paced": (_P50, _P95, _MEMORY),
}


def plot(workload: Workload, medians: Mapping[str, Figures]) -> str:
    """One SVG on white, since a picture of its own has no page whose colours it could take."""
    panels = PANELS[workload.name]
    width = NAMES_WIDTH + len(panels) * (PANEL_WIDTH + GAP)
    height = TOP + ROW * len(medians) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(workload.title)}" font-family="system-ui, sans-serif" font-size="12" fill="#1f2937">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="22" font-size="14" font-weight="600">({workload.name}) {escape(workload.title)}</text>'
    ]
    for row, worker in enumerate(medians):
        weight = ' font-weight="600"' if _is_ours(worker) else ""
        parts.append(f'<text x="{NAMES_WIDTH}" y="{_y(row) + 12}" text-anchor="end"{weight}>{escape(worker)}</text>')
    for column, panel in enumerate(panels):
        left = NAMES_WIDTH + 10 + column * (PANEL_WIDTH + GAP)
        parts.append(_panel(panel, left, {name: panel.read(figures, workload) for name, figures in medians.items()}))
    return "".join(parts) + "</svg>\n"


def _panel(panel: Panel, left: int, values: Mapping[str, float]) -> str:
    most = max(values.values(), default=0.0) or 1.0
    parts = [
        f'<text x="{left}" y="46" font-weight="600">{escape(panel.title)}</text>'
        f'<text x="{left}" y="60" font-size="10" fill="#64748b">{escape(panel.note)}</text>'
    ]
    for row, (worker, value) in enumerate(values.items()):
        length = max(1.0, (PANEL_WIDTH - VALUE_WIDTH) * value / most)
        colour = OURS if _is_ours(worker) else OTHERS
        parts.append(
            f'<rect x="{left}" y="{_y(row)}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
            f'<text x="{left + length + 5:.1f}" y="{_y(row) + 12}" font-size="11">{_said(value)}</text>'
        )
    return "".join(parts)


def _y(row: int) -> int:
    return TOP + 4 + row * ROW


def _is_ours(worker: str) -> bool:
    return worker.startswith("streamwarm")


def _said(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
