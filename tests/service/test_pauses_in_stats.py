"""An operator reads here why nothing moves: a pause that is not shown, or a promise that ignores it, costs an hour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define
from prometheus_client.parser import text_string_to_metric_families

from streamwarm.backlog.probe import Probe
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.model import Kind
from streamwarm.send.telegram.rates import telegram_rates
from streamwarm.service.members import Members, Role
from streamwarm.service.stats import Stats
from streamwarm.stream.running import Running
from streamwarm.watch.history import History
from streamwarm.watch.metrics import Metrics
from tests.worlds.failing_store import memory_store

NOW = 1_772_366_405.0
LATER = NOW + 600
NO_VOICE = Pause(LATER, "Telegram: not enough rights to send voice notes to the chat", fixable=True)
KICKED = Pause(LATER, "Telegram: bot was kicked", fixable=True)
BY_USER = Pause(None, "paused by a user", PausedBy.USER)


@define
class World:
    stats: Stats
    limits: Limits

    async def bot(self) -> Any:
        return (await self.read())["destinations"]["bot"]

    async def read(self) -> Any:
        return await self.stats.read()

    async def paused(self) -> set[tuple[str, str, str]]:
        """Scope, name and by of each series of `streamwarm_paused`."""
        page, _ = await self.stats.render_metrics()
        families = text_string_to_metric_families(page.decode())
        found = [one for family in families for one in family.samples if one.name == "streamwarm_paused"]
        assert {one.value for one in found} <= {1.0}
        return {(one.labels["scope"], one.labels["name"], one.labels["by"]) for one in found}


@define
class Clock:
    at: float = NOW

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def w(clock: Clock) -> Any:
    async with memory_store() as store:
        limits = Limits({"bot": telegram_rates((-1, -2), local_server=False)})
        stats = Stats(
            store=store,
            probe=Probe(store),
            members=Members(Role(), Running(), 5),
            limits=limits,
            bucket="media",
            destinations={"bot": "telegram"},
            pool=dict,
            cache=dict,
            is_claiming=lambda: True,
            metrics=Metrics(),
            history=History(NOW),
            now=clock,
            steady_now=clock,
        )
        yield World(stats, limits)


async def test_a_chat_that_refuses_voice_is_named_with_the_reason_and_the_bot_is_not_paused(w: World) -> None:
    w.limits.refuse_kind("bot", "-1", Kind.VOICE, NO_VOICE)
    bot = await w.bot()
    first, second = bot["chats"]
    assert first["refused"]["voice"]["reason"] == NO_VOICE.reason
    assert first["refused"]["voice"]["by"] == "destination"
    assert first["refused"]["voice"]["until"].startswith("2026-03-01T12:10:05")
    assert (first["paused"], "refused" in second, "paused_kinds" in bot, bot["paused"]) == (None, False, False, None)
    assert "refuses voice" in bot["hint"]
    assert bot["eta_s"] == 0
    assert await w.paused() == {("chat", "bot/-1:voice", "destination")}


async def test_a_kind_that_no_chat_takes_is_paused_with_the_reason_and_the_others_are_not(w: World) -> None:
    w.limits.refuse_kind("bot", "-1", Kind.VOICE, NO_VOICE)
    w.limits.set_lane_aside("bot", "-2", KICKED)
    bot = await w.bot()
    assert bot["paused"] is None
    assert set(bot["paused_kinds"]) == {"voice"}
    assert bot["paused_kinds"]["voice"]["reason"] in {NO_VOICE.reason, KICKED.reason}
    assert await w.paused() == {
        ("kind", "bot/voice", "destination"),
        ("chat", "bot/-1:voice", "destination"),
        ("chat", "bot/-2", "destination"),
    }


async def test_what_is_over_is_gone_from_the_stats_and_from_the_metrics(w: World, clock: Clock) -> None:
    for lane in ("-1", "-2"):
        w.limits.refuse_kind("bot", lane, Kind.VOICE, NO_VOICE)
    w.limits.pause("bot", Pause(NOW + 30, "Telegram answered 429"))
    w.limits.source_pause = Pause(NOW + 30, "SignatureDoesNotMatch", PausedBy.SOURCE)
    w.limits.replace_user_pauses({None: BY_USER})
    assert {scope for scope, _, _ in await w.paused()} == {"service", "source", "destination", "kind", "chat"}
    clock.at = LATER + 1
    w.limits.source_pause = None
    w.limits.replace_user_pauses({})
    bot = await w.bot()
    assert "paused_kinds" not in bot
    assert not [chat for chat in bot["chats"] if "refused" in chat]
    assert await w.paused() == set()


async def test_a_429_is_shown_beside_a_kind_that_nobody_takes(w: World) -> None:
    """The 429 ends in a moment; the kind stays paused, and who looks meanwhile must learn both."""
    for lane in ("-1", "-2"):
        w.limits.refuse_kind("bot", lane, Kind.VOICE, NO_VOICE)
    w.limits.pause("bot", Pause(NOW + 30, "Telegram answered 429"))
    bot = await w.bot()
    assert bot["paused"]["reason"] == "Telegram answered 429"
    assert bot["paused_kinds"]["voice"]["reason"] == NO_VOICE.reason
    assert {("kind", "bot/voice", "destination"), ("destination", "bot", "destination")} <= await w.paused()


def pauses(limits: Limits) -> Iterator[str]:
    limits.replace_user_pauses({None: BY_USER})
    yield "the service, by a user"
    limits.replace_user_pauses({"bot": BY_USER})
    yield "the bot, by a user"
    limits.replace_user_pauses({})
    limits.source_pause = Pause(NOW + 60, "NoSuchBucket", PausedBy.SOURCE)
    yield "the bucket"
    limits.source_pause = None
    for lane in ("-1", "-2"):
        limits.refuse_kind("bot", lane, Kind.VOICE, NO_VOICE)
    yield "a kind that no chat takes"
    limits.resume("bot")
    for lane in ("-1", "-2"):
        limits.set_lane_aside("bot", lane, KICKED)
    yield "every chat"
    limits.resume("bot")
    limits.pause("bot", Pause(LATER, "Telegram answered 401", fixable=True))
    yield "the bot"


async def test_no_end_is_promised_through_a_pause(w: World) -> None:
    assert (await w.bot())["eta_s"] == 0
    for what in pauses(w.limits):
        assert (await w.bot())["eta_s"] is None, what
    w.limits.resume("bot")
    assert (await w.bot())["eta_s"] == 0


async def test_topics_of_one_chat_promise_that_chats_rate_once(clock: Clock, w: World) -> None:
    rates = telegram_rates(("-100/1", "-100/2", -200), local_server=False)
    w.limits.rates = {"bot": rates}  # type: ignore[misc]
    assert (await w.bot())["limits"]["messages_per_minute"] == 40


async def test_a_bot_of_which_every_chat_is_out_is_paused_itself_and_no_kind_beside_it(w: World) -> None:
    w.limits.refuse_kind("bot", "-1", Kind.VOICE, NO_VOICE)
    for lane in ("-1", "-2"):
        w.limits.set_lane_aside("bot", lane, KICKED)
    bot = await w.bot()
    assert bot["paused"]["reason"] == KICKED.reason
    assert "paused_kinds" not in bot
