"""What a dashboard loses without these: a series of the contract, or a page that a scraper cannot read."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind
from streamwarm.watch import observations, record_news
from streamwarm.watch.metrics import Metrics

NAMES = {
    "streamwarm_jobs_total",
    "streamwarm_queue_depth",
    "streamwarm_queue_oldest_seconds",
    "streamwarm_workers",
    "streamwarm_workers_busy",
    "streamwarm_workers_busy_peak",
    "streamwarm_warm_seconds_bucket",
    "streamwarm_queue_wait_seconds_bucket",
    "streamwarm_transfer_seconds_bucket",
    "streamwarm_bytes_total",
    "streamwarm_cache_requests_total",
    "streamwarm_signing_keys_derived_total",
    "streamwarm_source_reopens_total",
    "streamwarm_retries_total",
    "streamwarm_rate_limited_total",
    "streamwarm_unknown_outcomes_total",
    "streamwarm_pool_connections",
    "streamwarm_websocket_clients",
    "streamwarm_records",
}
A_LIFE: list[observations.Observation] = [
    observations.WorkersStarted(5, 500),
    observations.ClientConnected(),
    observations.ClientConnected(),
    observations.ClientDisconnected("bye"),
    observations.SigningKeyDerived("20260301"),
    observations.AttemptStarted("1", "mybot", Kind.VIDEO, "a", 1, 1, 0.5),
    observations.CacheMissed("1", "a"),
    observations.SourceReopened("a", 7),
    observations.BytesMoved(observations.Direction.SOURCE, 70),
    observations.BytesMoved(observations.Direction.DESTINATION, 60),
    observations.AttemptSucceeded("1", "mybot", Kind.VIDEO, "a", 1, 60, 0.5, 1.5),
    observations.CacheHit("2", "a", 60),
    observations.AttemptFailed("2", "mybot", Kind.VIDEO, "a", 1, ErrorCode.DELIVERY_UNKNOWN, "lost", "waiting", False),
    observations.RetryScheduled("2", "mybot", ErrorCode.DELIVERY_UNKNOWN, 1, 1.0),
    observations.AttemptFailed("2", "mybot", Kind.VIDEO, "a", 2, ErrorCode.TIMEOUT, "slow", "failed", True),
    observations.DestinationPaused("mybot", "429", 5.0, ErrorCode.RATE_LIMITED),
    observations.JobCancelled("3", "mybot", Kind.VIDEO),
]


def page(observations: list[observations.Observation]) -> list[Sample]:
    metrics = Metrics()
    for observation in observations:
        metrics.observe(observation)
    text, content_type = metrics.render(
        depth={"queued": 3},
        oldest_s=12.5,
        busy=2,
        busy_peak=4,
        pool={"active": 2, "idle": 1, "queued": 0},
        paused=[("source", "media", "source"), ("destination", "mybot", "user")],
        records={("mybot", "current"): 7, ("mybot", "changed"): 2, ("archive", "gone"): 1},
    )
    assert content_type.startswith("text/plain")
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    (found,) = [one.value for one in samples if one.name == name and one.labels.items() >= labels.items()]
    return found


def test_every_metric_of_the_contract_is_on_the_page() -> None:
    assert {sample.name for sample in page(A_LIFE)} >= NAMES


def test_a_service_that_has_done_nothing_yet_has_a_page_too() -> None:
    samples = page([])
    assert value(samples, "streamwarm_queue_oldest_seconds") == 12.5
    assert value(samples, "streamwarm_bytes_total", direction="source") == 0
    assert value(samples, "streamwarm_cache_requests_total", result="hit") == 0
    assert value(samples, "streamwarm_cache_requests_total", result="miss") == 0


def test_the_figures_are_those_of_what_happened() -> None:
    samples = page(A_LIFE)
    assert value(samples, "streamwarm_jobs_total", outcome="done", destination="mybot", kind="video") == 1
    assert value(samples, "streamwarm_jobs_total", outcome="failed") == 1
    assert value(samples, "streamwarm_jobs_total", outcome="cancelled") == 1
    assert not [one for one in samples if one.labels.get("outcome") == "waiting"]  # it has not ended
    assert value(samples, "streamwarm_bytes_total", direction="source") == 70
    assert value(samples, "streamwarm_bytes_total", direction="destination") == 60
    assert value(samples, "streamwarm_bytes_total", direction="cache") == 60
    assert value(samples, "streamwarm_cache_requests_total", result="hit") == 1
    assert value(samples, "streamwarm_cache_requests_total", result="miss") == 1
    assert value(samples, "streamwarm_retries_total", code="delivery_unknown") == 1
    assert value(samples, "streamwarm_unknown_outcomes_total") == 1
    assert value(samples, "streamwarm_rate_limited_total", destination="mybot") == 1
    assert value(samples, "streamwarm_source_reopens_total") == 1
    assert value(samples, "streamwarm_signing_keys_derived_total") == 1
    assert value(samples, "streamwarm_websocket_clients") == 1
    assert value(samples, "streamwarm_workers") == 5
    assert value(samples, "streamwarm_workers_busy") == 2
    assert value(samples, "streamwarm_workers_busy_peak") == 4
    assert value(samples, "streamwarm_queue_depth", state="queued") == 3
    assert value(samples, "streamwarm_pool_connections", state="active") == 2
    assert value(samples, "streamwarm_warm_seconds_sum") == 1.5
    assert value(samples, "streamwarm_transfer_seconds_count") == 1


def test_what_is_paused_is_one_series_each() -> None:
    paused = [sample.labels for sample in page([]) if sample.name == "streamwarm_paused"]
    assert {"scope": "source", "name": "media", "by": "source"} in paused
    assert {"scope": "destination", "name": "mybot", "by": "user"} in paused
    assert len(paused) == 2


def test_jobs_that_needed_no_upload_are_counted_apart_and_make_no_latency_look_better() -> None:
    samples = page([*A_LIFE, record_news.JobsUnchanged("mybot", Kind.VIDEO, 40)])
    assert value(samples, "streamwarm_jobs_total", outcome="unchanged", destination="mybot", kind="video") == 40
    assert value(samples, "streamwarm_jobs_total", outcome="done") == 1
    for histogram in ("warm", "queue_wait", "transfer"):
        assert value(samples, f"streamwarm_{histogram}_seconds_count") == 1


def test_records_are_counted_by_how_they_compare_and_one_that_is_forgotten_counts_no_more() -> None:
    assert value(page([]), "streamwarm_records", destination="mybot", source_state="changed") == 2
    metrics = Metrics()

    def render(records: dict[tuple[str, str], int] | None) -> str:
        gauges = {"oldest_s": 0.0, "busy": 0, "busy_peak": 0}
        return metrics.render(depth={}, pool={}, paused=[], records=records, **gauges)[0].decode()

    assert 'streamwarm_records{destination="old",source_state="gone"} 3.0' in render({("old", "gone"): 3})
    assert 'destination="old"' in render(None), "the store does not answer"
    assert 'destination="old"' not in render({("mybot", "current"): 1})
