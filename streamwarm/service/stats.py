"""The answers of `stats`, `/readyz` and `/metrics`: the state of every part, read on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio
from attrs import asdict, frozen

from streamwarm.accept.wire.views import rfc3339
from streamwarm.backlog.probe import Probe
from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.errors import StoreUnavailable
from streamwarm.model import JsonObject, State
from streamwarm.send.destination import UNLIMITED
from streamwarm.service.limit_views import LimitClocks, kinds_view, limits_view, pause_view
from streamwarm.service.members import Members
from streamwarm.service.paused_now import paused_now
from streamwarm.watch.history import STEP_S, History, Series
from streamwarm.watch.metrics import Metrics

SAMPLE_S = 5.0
"""Seconds between two samples of the history. One twelfth of the history's step, so bytes moved in the last five
seconds of a minute may be counted in the next one."""

NO_ACCOUNTS: Mapping[str, str] = {}


@frozen
class Stats:
    """Read-only views of the running parts.

    `now` is the store's clock, `steady_now` that of the limits (`SteadyClock`). `bucket` is the source's name.
    `destinations` are the types of the destinations, by name, and `accounts` whose references they are. `pool` returns
    connections by state, `cache` what the download cache holds and has saved. `is_claiming` returns False before the
    dispatcher runs and while the service drains. `history` is the last hour, kept by `keep_history`.
    """

    store: Store
    probe: Probe
    members: Members
    limits: Limits
    bucket: str
    destinations: Mapping[str, str]
    pool: Callable[[], Mapping[str, int]]
    cache: Callable[[], Mapping[str, int]]
    is_claiming: Callable[[], bool]
    metrics: Metrics
    history: History
    now: Callable[[], float]
    steady_now: Callable[[], float]
    accounts: Mapping[str, str] = NO_ACCOUNTS

    async def read(self) -> JsonObject:
        """Read the answer of `GET /v1/stats`. Raises `StoreUnavailable`."""
        counts = await self.store.counts()
        now, steady_now = self.now(), self.steady_now()
        clocks = LimitClocks(now, steady_now)
        self._sample(now)
        return {
            "at": rfc3339(now),
            "paused": pause_view(self.limits.service_pause(steady_now), clocks),
            "source": {"bucket": self.bucket, "paused": pause_view(self.limits.source_pause, clocks)},
            "queue": {
                **{state.value: counts.by_state.get(state, 0) for state in State},
                "oldest_s": _age_s(counts.oldest_queued_at, now),
            },
            "odd_rows": self.store.odd_rows(),
            "workers": {
                "size": self.members.size,
                "busy": self.members.busy,
                "busy_peak": self.members.busy_peak,
                "streams": self.members.streams(),
            },
            "pool": self.members.pool(self.pool()),
            "cache": self.members.cache(self.cache()),
            "destinations": {
                name: self._destination(name, counts.by_destination.get(name, {}), clocks) for name in self.destinations
            },
            "history": _history_view(self.history.series(now)),
        }

    def _destination(self, name: str, jobs: Mapping[State, int], clocks: LimitClocks) -> JsonObject:
        now, limits = clocks.steady_now, self.limits
        state = limits.state(name)
        pause, kinds = limits.active(now).get(name), state.paused_kinds(now)
        view: dict[str, Any] = {
            "type": self.destinations[name],
            "account": self.accounts.get(name, ""),
            "queue": {state.value: count for state, count in jobs.items()},
            "paused": pause_view(pause, clocks),
        }
        if kinds:
            view["paused_kinds"] = kinds_view(kinds, clocks)
        # The store counts jobs by state and not by kind, so any of those that wait may be of a kind that is paused.
        is_paused = any((pause, kinds, limits.source_pause, limits.service_pause(now)))
        of_limits = limits_view(
            state,
            limits.rates.get(name, UNLIMITED),
            waiting=jobs.get(State.QUEUED, 0) + jobs.get(State.WAITING, 0),
            free_at=limits.free_at(name),
            is_paused=is_paused,
            clocks=clocks,
        )
        return {**view, **of_limits}

    async def keep_history(self) -> None:
        """Count the bytes that move while attempts are still running, until cancelled."""
        while True:
            self._sample(self.now())
            await trio.sleep(SAMPLE_S)

    def _sample(self, now: float) -> None:
        self.history.sample(sum(one.bytes_out for one in self.members.progress.values()), now)

    async def render_metrics(self) -> tuple[bytes, str]:
        """Render the page of `/metrics`; returns it with its content type. If the store is unavailable, its gauges keep
        their values."""
        depth: dict[str, int] = {}
        oldest_s = 0.0
        try:
            counts = await self.store.counts()
            depth = {state.value: counts.by_state.get(state, 0) for state in State}
            oldest_s = _age_s(counts.oldest_queued_at, self.now())
        except StoreUnavailable:
            oldest_s = float("nan")
        return self.metrics.render(
            depth=depth,
            oldest_s=oldest_s,
            busy=self.members.busy,
            busy_peak=self.members.busy_peak,
            pool=self.members.pool(self.pool()),
            paused=paused_now(self.limits, self.bucket, self.steady_now()),
            odd_rows=self.store.odd_rows(),
        )

    async def why_not_ready(self) -> str | None:
        """Returns None if the store takes writes and jobs are being claimed, else the reason."""
        if not self.is_claiming():
            return "jobs are not being claimed: the service is starting or shutting down"
        if self.limits.service_pause(self.steady_now()) is not None:
            return "jobs are not being claimed: the whole service is paused by a user; `streamwarm resume` ends that"
        return await self.probe.why_not()


def _age_s(since: float | None, now: float) -> float:
    return 0.0 if since is None else round(max(0.0, now - since), 3)


def _history_view(series: Series) -> JsonObject:
    values = asdict(series)
    return {"starts_at": rfc3339(values.pop("starts_at")), "step_s": STEP_S, **values}
