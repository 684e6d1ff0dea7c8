"""A page of `/metrics`, read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families

Series = Mapping[str, list[tuple[Mapping[str, str], float]]]


@frozen
class Metrics:
    """Samples by full name (`…_total`, `…_bucket`)."""

    series: Series

    def total(self, name: str, default: float = 0.0, **labels: str | Sequence[str]) -> float:
        """The sum over the series whose labels are among those given; `default` where there is none."""
        values = [value for having, value in self.series.get(name, ()) if _matches(having, labels)]
        return sum(values) if values else default

    def since(self, before: Metrics, name: str, **labels: str | Sequence[str]) -> float:
        """By how much a counter has grown."""
        return self.total(name, **labels) - before.total(name, **labels)

    def by_label(self, name: str, label: str) -> dict[str, float]:
        return {having[label]: value for having, value in self.series.get(name, ()) if label in having}


def parse_metrics(text: str) -> Metrics:
    """Raises `ValueError` for what is no Prometheus text."""
    series: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series.setdefault(sample.name, []).append((sample.labels, sample.value))
    return Metrics(series)


def _matches(having: Mapping[str, str], wanted: Mapping[str, str | Sequence[str]]) -> bool:
    return all(
        having.get(name) == value if isinstance(value, str) else having.get(name) in value
        for name, value in wanted.items()
    )
