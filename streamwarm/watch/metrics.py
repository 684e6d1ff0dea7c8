"""Observations as Prometheus metrics (contract, section 7). One registry per service; nothing is global."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streamwarm.errors import ErrorCode
from streamwarm.watch import observations, record_news

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Buckets, in seconds: from a small photo on a fast network to a 2 GB video on a slow one."""


class Metrics:
    """An observer that counts. Gauges that show other parts' state are set when the page is rendered."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._make_job_metrics()
        self._make_transfer_metrics()
        self._make_service_metrics()
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            observations.AttemptStarted: lambda e: self._queue_wait.observe(e.queue_wait_s),
            observations.AttemptSucceeded: self._succeeded,
            observations.AttemptFailed: self._failed,
            observations.JobCancelled: lambda e: self._jobs.labels(e.destination, e.kind.value, "cancelled").inc(),
            record_news.JobsUnchanged: self._unchanged,
            record_news.JobMissing: lambda e: self._jobs.labels(e.destination, e.kind.value, "failed").inc(),
            observations.RetryScheduled: lambda e: self._retries.labels(e.code.value).inc(),
            observations.DestinationPaused: self._paused,
            observations.BytesMoved: lambda e: self._bytes.labels(e.direction.value).inc(e.bytes),
            observations.CacheHit: self._cache_hit,
            observations.CacheMissed: lambda _: self._cache_requests.labels("miss").inc(),
            observations.SourceReopened: lambda _: self._reopens.inc(),
            observations.SigningKeyDerived: lambda _: self._signing_keys.inc(),
            observations.WorkersStarted: lambda e: self._workers.set(e.concurrency),
            observations.ClientConnected: lambda _: self._clients.inc(),
            observations.ClientDisconnected: lambda _: self._clients.dec(),
        }

    def observe(self, observation: observations.Observation) -> None:
        handler = self._handlers.get(type(observation))
        if handler is not None:
            handler(observation)

    def render(
        self,
        *,
        depth: Mapping[str, int],
        oldest_s: float,
        busy: int,
        busy_peak: int,
        pool: Mapping[str, int],
        paused: Iterable[tuple[str, str, str]],
        odd_rows: int = 0,
        records: Mapping[tuple[str, str], int] | None = None,
    ) -> tuple[bytes, str]:
        """The page and its content type. The arguments are the gauges' current values.

        `paused` has scope (`service`, `source`, `destination`, `chat` or `kind`), name, and by whom, of each pause in
        force. A pause that is over has no series. `records` counts by destination and source state; if it is None, the
        last counts stay.
        """
        self._paused_now.clear()
        for labels in paused:
            self._paused_now.labels(*labels).set(1)
        if records is not None:
            self._records.clear()
            for about, count in records.items():
                self._records.labels(*about).set(count)
        for state, count in depth.items():
            self._depth.labels(state).set(count)
        for state, count in pool.items():
            self._pool.labels(state).set(count)
        self._oldest.set(oldest_s)
        self._odd_rows.set(odd_rows)
        self._busy.set(busy)
        self._busy_peak.set(busy_peak)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _make_job_metrics(self) -> None:
        r = self.registry
        self._jobs = Counter("streamwarm_jobs", "Jobs that ended.", ["destination", "kind", "outcome"], registry=r)
        self._retries = Counter("streamwarm_retries", "Attempts that will be made again.", ["code"], registry=r)
        self._unknown = Counter(
            "streamwarm_unknown_outcomes", "Uploads whose answer was lost after the last byte.", registry=r
        )
        self._depth = Gauge("streamwarm_queue_depth", "Stored jobs by state.", ["state"], registry=r)
        self._odd_rows = Gauge("streamwarm_odd_rows", "Rows of the store that cannot be read.", registry=r)
        self._oldest = Gauge("streamwarm_queue_oldest_seconds", "Age of the oldest queued job.", registry=r)
        self._records = Gauge(
            "streamwarm_records", "Warm records by how they compare.", ["destination", "source_state"], registry=r
        )

    def _make_transfer_metrics(self) -> None:
        r = self.registry
        self._warm = Histogram("streamwarm_warm_seconds", "From push to done.", buckets=_SECONDS, registry=r)
        self._queue_wait = Histogram(
            "streamwarm_queue_wait_seconds", "From push to attempt.", buckets=_SECONDS, registry=r
        )
        self._transfer = Histogram(
            "streamwarm_transfer_seconds", "One successful attempt.", buckets=_SECONDS, registry=r
        )
        self._bytes = Counter("streamwarm_bytes", "Bytes moved.", ["direction"], registry=r)
        self._cache_requests = Counter("streamwarm_cache_requests", "Objects asked for.", ["result"], registry=r)
        self._signing_keys = Counter("streamwarm_signing_keys_derived", "SigV4 signing keys derived.", registry=r)
        self._reopens = Counter("streamwarm_source_reopens", "Broken downloads continued at their offset.", registry=r)
        self._rate_limited = Counter(
            "streamwarm_rate_limited", "Times a destination answered 429.", ["destination"], registry=r
        )
        for direction in observations.Direction:
            self._bytes.labels(direction.value)
        for result in ("hit", "miss"):
            self._cache_requests.labels(result)

    def _make_service_metrics(self) -> None:
        r = self.registry
        self._workers = Gauge("streamwarm_workers", "Workers.", registry=r)
        self._busy = Gauge("streamwarm_workers_busy", "Workers that stream now.", registry=r)
        self._busy_peak = Gauge("streamwarm_workers_busy_peak", "Most workers that streamed at once.", registry=r)
        self._pool = Gauge("streamwarm_pool_connections", "Connections of the R2 pool.", ["state"], registry=r)
        self._clients = Gauge("streamwarm_websocket_clients", "Connected websocket clients.", registry=r)
        self._paused_now = Gauge("streamwarm_paused", "1 while paused.", ["scope", "name", "by"], registry=r)

    def _succeeded(self, event: observations.AttemptSucceeded) -> None:
        self._jobs.labels(event.destination, event.kind.value, "done").inc()
        self._warm.observe(event.warm_s)
        self._transfer.observe(event.transfer_s)

    def _failed(self, event: observations.AttemptFailed) -> None:
        if event.final:
            self._jobs.labels(event.destination, event.kind.value, event.outcome).inc()
        if event.code.value == "delivery_unknown":
            self._unknown.inc()

    def _unchanged(self, event: record_news.JobsUnchanged) -> None:
        self._jobs.labels(event.destination, event.kind.value, "unchanged").inc(event.jobs)

    def _paused(self, event: observations.DestinationPaused) -> None:
        if event.code is ErrorCode.RATE_LIMITED:
            self._rate_limited.labels(event.destination).inc()

    def _cache_hit(self, event: observations.CacheHit) -> None:
        self._cache_requests.labels("hit").inc()
        self._bytes.labels(observations.Direction.CACHE.value).inc(event.bytes)
