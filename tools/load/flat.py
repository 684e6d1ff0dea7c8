"""Whether a measured course is flat: by its slope, with tolerance. Pure.

The slope is Theil and Sen's: the median of the slopes between all pairs of samples. A third of the samples may be
outliers (a burst of uploads, a page that was rendered just then) without moving it, which least squares cannot say.
What is judged is the growth that the slope means over the whole time that was looked at.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations

from attrs import frozen

Point = tuple[float, float]

WARM_UP_SHARE = 1 / 3
"""The first part is not judged: imports, pools, caches and SQLite's pages fill up in it."""

MAX_POINTS = 200
"""Twenty thousand pairs: a tenth of a second."""

MIN_POINTS = 6


@frozen
class Rule:
    """One figure, and how much it may grow: `share` of its middle or `slack` in its unit, whichever is more."""

    name: str
    unit: str
    slack: float
    share: float = 0.0


@frozen
class Judgement:
    """`growth` is what the slope comes to over the time that was judged; a fall is negative and always fine."""

    rule: Rule
    middle: float
    growth: float
    allowed: float
    points: int

    @property
    def is_flat(self) -> bool:
        return self.points >= MIN_POINTS and self.growth <= self.allowed

    def __str__(self) -> str:
        verdict = "flat" if self.is_flat else ("GROWS" if self.points >= MIN_POINTS else "TOO FEW SAMPLES")
        return (
            f"{self.rule.name:18} {verdict:6}  middle {self.middle:,.1f} {self.rule.unit}, "
            f"growth {self.growth:+,.2f} (allowed {self.allowed:,.2f})"
        )


def judge(rule: Rule, course: Sequence[Point]) -> Judgement:
    """`course` is (seconds, value), in order; a value that is NaN was not measured and is left out."""
    known = [(at, value) for at, value in course if not math.isnan(value)]
    judged = known[math.ceil(len(known) * WARM_UP_SHARE) :]
    if len(judged) < MIN_POINTS:
        return Judgement(rule, math.nan, math.nan, rule.slack, len(judged))
    middle = statistics.median(value for _, value in judged)
    growth = slope(judged) * (judged[-1][0] - judged[0][0])
    return Judgement(rule, middle, growth, max(rule.slack, rule.share * middle), len(judged))


def slope(points: Sequence[Point]) -> float:
    """Units a second, by Theil and Sen."""
    thinned = points[:: max(1, math.ceil(len(points) / MAX_POINTS))]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(thinned, 2) if b[0] > a[0]]
    return statistics.median(slopes) if slopes else 0.0
