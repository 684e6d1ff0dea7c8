"""Whoever runs a bot plans by these figures: a rate that is not theirs has them buy workers where a chat would do."""

from __future__ import annotations

from typing import Any

from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.send.destination import UNLIMITED
from streamwarm.send.telegram.rates import telegram_rates
from streamwarm.service.limit_views import LimitClocks, limits_view

NOW = 1_772_366_405.0


def view(limits: Limits, *, waiting: int = 0) -> Any:
    rates = limits.rates.get("bot", UNLIMITED)
    clocks = LimitClocks(NOW, NOW)
    state, free_at = limits.state("bot"), limits.free_at("bot")
    return limits_view(state, rates, waiting=waiting, free_at=free_at, is_paused=False, clocks=clocks)


def bot(*chats: int | str) -> Limits:
    return Limits({"bot": telegram_rates(chats, local_server=False)})


def test_groups_add_up_until_the_bots_own_rate_is_reached() -> None:
    for chats, a_minute in (([-1], 20), ([-1, -2, "@three"], 60), ([77], 60), ([-1, 77], 80), (range(-200, -1), 1800)):
        assert view(bot(*chats))["limits"]["messages_per_minute"] == a_minute


def test_topics_of_one_chat_add_nothing_to_what_it_takes() -> None:
    for chats, a_minute, count in ((["-1/1", "-1/2", -1], 20, 1), (["-1/1", "-1/2", -2], 40, 2), (["77/1", 77], 60, 1)):
        assert view(bot(*chats))["limits"] == {"messages_per_minute": a_minute, "chats": count}
    limits = bot("-1/1", "-1/2")
    limits.set_lane_aside("bot", "-1/1", Pause(NOW + 60, "message thread not found", fixable=True))
    assert view(limits, waiting=40)["eta_s"] == 120


def test_a_chat_that_is_set_aside_adds_nothing_and_one_that_is_silent_will_again() -> None:
    limits = bot(-1, -2, -3)
    limits.set_lane_aside("bot", "-1", Pause(NOW + 60, "kicked", fixable=True))
    limits.cool_down_lane("bot", "-2", Pause(NOW + 30, "429"), NOW)
    told = view(limits, waiting=80)
    assert (told["limits"]["messages_per_minute"], told["eta_s"]) == (40, 120)
    assert [chat["paused"] and chat["paused"]["reason"] for chat in told["chats"]] == ["kicked", "429", None]
    assert "set aside" in told["hint"]


def test_without_any_chat_nobody_promises_an_end() -> None:
    limits = bot(-1)
    limits.set_lane_aside("bot", "-1", Pause(None, "kicked"))
    assert view(limits, waiting=5)["eta_s"] is None


def test_processes_that_share_a_budget_tell_the_whole_of_it() -> None:
    limits = bot(-1)
    limits.state("bot")
    limits.share(2)
    told = view(limits, waiting=100)
    assert told["limits"] == {"messages_per_minute": 20, "chats": 1}
    assert told["eta_s"] == 300
    assert "adds 20" in told["hint"]


def test_more_chats_are_named_only_where_they_would_help() -> None:
    assert view(bot(-1), waiting=20)["hint"] is None
    assert view(bot(77), waiting=500)["hint"] is None  # a person's chat has no minute
    assert view(Limits()) == {}
