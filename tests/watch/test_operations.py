"""What an operator loses without these: alerts on metrics that exist, and an explanation of every log event."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind
from streamwarm.watch import observations
from streamwarm.watch.logs import EVENT_TEXTS
from streamwarm.watch.metrics import Metrics

DOCS = Path(__file__).parents[2] / "docs"
A_JOB = ("1", "mybot", Kind.VIDEO, "a")
OF_PROMETHEUS = {"le", "instance", "job"}
"""Labels that Prometheus adds for histograms and scrapes."""


def exported() -> dict[str, set[str]]:
    """Every series' name and labels, from a page after one of each observation."""
    metrics = Metrics()
    for observation in (
        observations.AttemptSucceeded(*A_JOB, 1, 60, 0.5, 1.5),
        observations.RetryScheduled("1", "mybot", ErrorCode.TIMEOUT, 1, 1.0),
        observations.DestinationPaused("mybot", "429", 5.0, ErrorCode.RATE_LIMITED),
        observations.CacheMissed("1", "a"),
    ):
        metrics.observe(observation)
    page, _ = metrics.render(
        depth={"queued": 1},
        oldest_s=0.0,
        busy=0,
        busy_peak=0,
        pool={"idle": 1},
        paused=[("source", "media", "source")],
        records={("mybot", "changed"): 1},
    )
    samples = [s for family in text_string_to_metric_families(page.decode()) for s in family.samples]
    return {sample.name: set(sample.labels) | OF_PROMETHEUS for sample in samples}


def check(expression: str, series: dict[str, set[str]]) -> set[str]:
    """The series that an expression uses. Fails if one of them, or one of their labels, does not exist."""
    promql_parser.parse(expression.replace("$__rate_interval", "5m"))  # raises ValueError
    used = set(re.findall(r"streamwarm_\w+", expression))
    assert used, expression
    assert used <= series.keys(), expression
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    for group in re.findall(r"(?:by|without|on)\s*\(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",") if label.strip()}
    labels -= set(re.findall(r'"(\w+)", "\$1", "name"', expression))  # `label_replace` makes it out of `name`
    assert labels <= set().union(*(series[name] for name in used)), expression
    return used


def test_every_alert_is_on_series_that_exist_and_is_explained() -> None:
    rules = [r for group in yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"] for r in group["rules"]]
    explained = (DOCS / "operations.md").read_text()
    series = exported()
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
        assert f"`{rule['alert']}`" in explained
        check(rule["expr"], series)
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_for_each_alert_it_is_written_down_when_it_fires_and_when_it_does_not() -> None:
    """`tools/promtool.py` checks that promtool agrees."""
    cases = yaml.safe_load(Path(__file__).with_name("alerts.test.yaml").read_text())["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    rules = [r for group in yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"] for r in group["rules"]]
    every = {rule["alert"] for rule in rules}
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == every
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} == every


def test_the_grafana_dashboard_shows_every_metric_by_its_name() -> None:
    dashboard: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    series = exported()
    shown = set().union(*(check(expression, series) for expression in expressions))
    own = {re.sub(r"_(bucket|count|sum|created)$", "", name.removesuffix("_total")) for name in series}
    assert {re.sub(r"_(bucket|count|sum)$", "", name.removesuffix("_total")) for name in shown} == own
    taken = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]}
    assert len(taken) == len(dashboard["panels"])


def test_every_metric_and_log_event_is_explained() -> None:
    explained = (DOCS / "operations.md").read_text()
    for name in exported():
        plain = re.sub(r"_(bucket|count|sum|created)$", "", name)
        assert f"`{plain}" in explained or f"`{plain}_total" in explained, name
    assert set(re.findall(r"`((?:\[[A-Z0-9_]+\])+)`", explained)) == EVENT_TEXTS
