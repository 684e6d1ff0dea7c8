"""A pause that is over must be shown as over, or `/readyz` keeps a working service out of rotation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define
from trio.testing import MockClock

from streamwarm.accept.wire.views import rfc3339
from streamwarm.backlog.probe import Probe
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.limits_follower import LimitsFollower
from streamwarm.dispatch.pauses import Pause
from streamwarm.model import Kind, Route
from streamwarm.send.telegram.rates import telegram_rates
from streamwarm.service.members import Members, Role
from streamwarm.service.stats import Stats
from streamwarm.stream.running import Running
from streamwarm.watch.history import History
from streamwarm.watch.metrics import Metrics
from tests.worlds.failing_store import memory_store, now

SET_BACK_S = 3_600.0


@define
class World:
    """A store whose clock was set back by an hour while the limits' clock went on."""

    store: Any
    limits: Limits
    follower: LimitsFollower
    stats: Stats
    steady_now: Callable[[], float]


@asynccontextmanager
async def set_back() -> AsyncIterator[World]:
    def steady_now() -> float:
        return now() + SET_BACK_S

    async with memory_store() as store:
        limits = Limits({"mybot": telegram_rates((-1, -2), local_server=False)})
        follower = LimitsFollower(store, limits, 1, now, steady_now, lambda: None, lambda _: None, lambda *_: False)
        stats = Stats(
            store=store,
            probe=Probe(store),
            members=Members(Role(), Running(), 5),
            limits=limits,
            bucket="media",
            destinations={"mybot": "telegram"},
            pool=dict,
            cache=dict,
            is_claiming=lambda: True,
            metrics=Metrics(),
            history=History(now()),
            now=now,
            steady_now=steady_now,
        )
        yield World(store, limits, follower, stats, steady_now)


async def test_a_users_pause_ends_at_the_time_that_was_given_for_readyz_too(autojump_clock: MockClock) -> None:
    async with set_back() as w:
        until = now() + 60
        await w.store.pause(None, until)
        await w.store.pause("mybot", until)
        await w.follower.refresh()
        told: Any = await w.stats.read()
        assert told["paused"]["until"] == told["destinations"]["mybot"]["paused"]["until"] == rfc3339(until)
        assert "paused by a user" in (await w.stats.why_not_ready() or "")
        await trio.sleep(61)
        told = await w.stats.read()
        assert told["paused"] is told["destinations"]["mybot"]["paused"] is None
        assert "paused by a user" not in (await w.stats.why_not_ready() or "")


async def test_a_429_and_a_full_minute_are_shown_for_as_long_as_they_last(autojump_clock: MockClock) -> None:
    async with set_back() as w:
        begun = now()
        lane = w.limits.reserve(Route("mybot", Kind.PHOTO), w.steady_now())
        w.limits.end(Route("mybot", Kind.PHOTO), lane, w.steady_now(), w.steady_now())
        w.limits.cool_down("mybot", None, Pause(w.steady_now() + 30, "429"))
        w.limits.set_lane_aside("mybot", "-2", Pause(w.steady_now() + 30, "kicked", fixable=True))
        bot = (await w.stats.read())["destinations"]["mybot"]
        assert bot["paused"]["until"] == bot["next_at"] == rfc3339(begun + 30)
        assert bot["chats"][1]["paused"]["until"] == rfc3339(begun + 30)
        assert bot["limits"]["messages_per_minute"] == 20
        assert bot["chats"][0]["last_minute"] == 1
        await trio.sleep(61)
        bot = (await w.stats.read())["destinations"]["mybot"]
        assert (bot["paused"], bot["next_at"], bot["chats"][1]["paused"]) == (None, None, None)
        assert bot["limits"]["messages_per_minute"] == 40
        assert bot["chats"][0]["last_minute"] == 0
