"""Line and bar charts as inline SVG: no script, no font, no address, so that a report is one file. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from html import escape

from attrs import frozen

WIDTH, HEIGHT = 520, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 40
COLOURS = ("#3b82f6", "#f59e0b", "#10b981")
"""Seen as well on white as on nearly black."""

TICKS, MARKS = 5, 8
"""Lines across, and marks below at most."""

POINTS = 500
"""As many as the chart is wide: more cannot be seen."""

MANY = 13
"""More bars than that get smaller names."""

EDGES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
"""Where a histogram's bars end, in every power of ten: about evenly apart on a scale of factors, and round."""

Point = tuple[float, float]


@frozen
class Line:
    """One curve; points whose value is NaN are left out."""

    name: str
    points: Sequence[Point]


@frozen
class Chart:
    """Titled, with what its axes count."""

    title: str
    x_label: str
    y_label: str


def line_chart(chart: Chart, lines: Sequence[Line]) -> str:
    """Curves over a common x."""
    thinned = [Line(line.name, _thinned(line.points)) for line in lines]
    points = [point for line in thinned for point in line.points]
    if not points:
        return _framed(chart, f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">not measured</text>')
    right = max(x for x, _ in points) or 1.0
    top = _round_up(max(y for _, y in points))
    parts = [_axes(right, top)]
    for number, line in enumerate(thinned):
        colour = COLOURS[number % len(COLOURS)]
        where = " ".join(f"{_x(x, right):.1f},{_y(y, top):.1f}" for x, y in line.points)
        ends = f"{_x(line.points[0][0], right):.1f},{_y(0, top)} " if line.points else ""
        behind = f" {_x(line.points[-1][0], right):.1f},{_y(0, top)}" if line.points else ""
        parts.append(
            f'<polygon points="{ends}{where}{behind}" fill="{colour}" fill-opacity="0.12"/>'
            f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
        )
        parts.append(_legend(number, line.name, colour) if len(lines) > 1 else "")
    return _framed(chart, "".join(parts))


def bar_chart(chart: Chart, bars: Sequence[tuple[str, float]]) -> str:
    """One bar a name, its value above it."""
    if not bars:
        return line_chart(chart, [])
    top = _round_up(max(value for _, value in bars))
    step = (WIDTH - LEFT - RIGHT) / len(bars)
    parts = [_y_axis(top)]
    for number, (name, value) in enumerate(bars):
        x, y = LEFT + number * step, _y(value, top)
        middle = x + step / 2
        parts.append(
            f'<rect x="{x + step * 0.12:.1f}" y="{y:.1f}" width="{step * 0.76:.1f}" '
            f'height="{HEIGHT - BOTTOM - y:.1f}" rx="2" fill="{COLOURS[0]}"/>'
            f'<text x="{middle:.1f}" y="{y - 4:.1f}" text-anchor="middle" font-size="11">{_short(value)}</text>'
            f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle" '
            f'font-size="{12 if len(bars) <= MANY else 9}">{escape(name)}</text>'
        )
    return _framed(chart, "".join(parts))


def histogram(values: Sequence[float]) -> list[tuple[str, float]]:
    """How many values lie in each range, named by its upper end; ranges grow by a factor, as latencies do."""
    above_zero = [value for value in values if value > 0]
    if not above_zero:
        return []
    edges = _edges(min(above_zero), max(above_zero))
    counts = [0.0] * len(edges)
    for value in above_zero:
        counts[bisect_left(edges, value)] += 1
    return [(_short(edge), count) for edge, count in zip(edges, counts, strict=True)]


def _edges(low: float, high: float) -> list[float]:
    """From the first edge at or above `low` to the first at or above `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
    edges = [step * 10.0**power for power in powers for step in EDGES]
    return edges[bisect_left(edges, low) : bisect_left(edges, high) + 1]


def _thinned(points: Sequence[Point]) -> list[Point]:
    known = [(x, y) for x, y in points if not (math.isnan(x) or math.isnan(y))]
    return known[:: max(1, len(known) // POINTS)]


def figure(chart: Chart, svg: str) -> str:
    """A chart in a page, under its title."""
    return f"<figure><figcaption>{escape(chart.title)}</figcaption>{svg}</figure>"


def _framed(chart: Chart, inside: str) -> str:
    title = escape(chart.title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">{inside}'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end" opacity="0.7">{escape(chart.x_label)}</text>'
        f'<text x="4" y="14" opacity="0.7">{escape(chart.y_label)}</text></svg>'
    )


def _axes(right: float, top: float) -> str:
    step = _round_up(right / MARKS)
    marks = "".join(
        f'<text x="{_x(step * tick, right):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
        f"{_short(step * tick)}</text>"
        for tick in range(math.floor(right / step) + 1)
    )
    return _y_axis(top) + marks


def _y_axis(top: float) -> str:
    lines = []
    for tick in range(TICKS + 1):
        value = top * tick / TICKS
        y = _y(value, top)
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity="0.15"/><text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>'
        )
    return "".join(lines)


def _legend(number: int, name: str, colour: str) -> str:
    """Above the plot, where no curve runs."""
    x = LEFT + 90 + number * 150
    return (
        f'<rect x="{x}" y="5" width="10" height="10" rx="2" fill="{colour}"/>'
        f'<text x="{x + 15}" y="14">{escape(name)}</text>'
    )


def _x(value: float, right: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / right


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten: an axis that can be read."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999))


def _short(value: float) -> str:
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"
