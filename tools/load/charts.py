"""Line and bar charts as inline SVG: no script, no font, no address, so that a report is one file. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from attrs import frozen

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 34
COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2")
TICKS = 5
POINTS = 600
"""As many as the chart is wide: more cannot be seen."""

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
        parts.append(f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
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
            f'height="{HEIGHT - BOTTOM - y:.1f}" fill="{COLOURS[0]}"/>'
            f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{middle:.1f}" y="{y - 3:.1f}" text-anchor="middle">{_short(value)}</text>'
        )
    return _framed(chart, "".join(parts))


def histogram(values: Sequence[float], bars: int = 16) -> list[tuple[str, float]]:
    """How many values fall into each of `bars` ranges that grow by a factor: latencies span decades."""
    above_zero = [value for value in values if value > 0]
    if not above_zero:
        return []
    low, high = min(above_zero), max(above_zero)
    factor = (high / low) ** (1 / bars) if high > low else 2.0
    counts = [0] * bars
    for value in above_zero:
        index = int(math.log(value / low) / math.log(factor)) if value > low else 0
        counts[min(index, bars - 1)] += 1
    return [(f"≤{_short(low * factor ** (index + 1))}", float(count)) for index, count in enumerate(counts)]


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
        f'aria-label="{title}" font-family="sans-serif" font-size="10" fill="currentColor">{inside}'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(chart.x_label)}</text>'
        f'<text x="4" y="{TOP - 3}">{escape(chart.y_label)}</text></svg>'
    )


def _axes(right: float, top: float) -> str:
    marks = "".join(
        f'<text x="{_x(right * tick / TICKS, right):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">'
        f"{_short(right * tick / TICKS)}</text>"
        for tick in range(TICKS + 1)
    )
    return _y_axis(top) + marks


def _y_axis(top: float) -> str:
    lines = []
    for tick in range(TICKS + 1):
        value = top * tick / TICKS
        y = _y(value, top)
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            f'stroke-opacity="0.15"/><text x="{LEFT - 5}" y="{y + 3:.1f}" text-anchor="end">{_short(value)}</text>'
        )
    return "".join(lines)


def _legend(number: int, name: str, colour: str) -> str:
    y = TOP + 8 + 14 * number
    return (
        f'<rect x="{LEFT + 10}" y="{y - 8}" width="10" height="8" fill="{colour}"/>'
        f'<text x="{LEFT + 25}" y="{y}">{escape(name)}</text>'
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
