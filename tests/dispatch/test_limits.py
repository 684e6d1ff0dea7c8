"""A 429 or a dead chat must cost a bot that chat, not its evening; and what was fixed must be used again at once."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.dispatch.clock import SteadyClock
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause
from streamwarm.dispatch.usage import Usage, ended, handed_out, quota_free_at
from streamwarm.model import Barred, Kind, Lane, Route
from streamwarm.send.destination import LaneRates, Quota
from streamwarm.send.telegram.rates import equal_size_spacing_s, telegram_rates, unlimited_rates

NOW = 1_772_366_405.0
ANY = Route("bot", Kind.PHOTO)


def limits_of(*chats: int | str) -> Limits:
    return Limits({"bot": telegram_rates(chats, local_server=False)})


def lane_at(limits: Limits, now: float, route: Route = ANY) -> str:
    """The chat that the next job is handed out with; it is delivered on the spot."""
    assert limits.free_at("bot") <= now
    lane = limits.reserve(route, now)
    assert lane is not None
    limits.depart("bot", lane, 1, now)
    limits.end(route, lane, now, now)
    return lane.name


def test_chats_are_used_in_turn() -> None:
    limits = limits_of(-1, -2, -3)
    assert [lane_at(limits, NOW) for _ in range(3)] == ["-1", "-2", "-3"]
    assert limits.free_at("bot") > NOW
    assert limits.next_change_at(NOW) == NOW + 1
    assert lane_at(limits, NOW + 1) == "-1"


def test_a_chat_with_fewer_uploads_under_way_goes_first() -> None:
    limits = limits_of(-1, -2)
    first = limits.reserve(Route("bot", Kind.PHOTO), NOW)
    assert first is not None
    assert first.name == "-1"
    assert [lane_at(limits, NOW + at) for at in (1, 3, 5)] == ["-2"] * 3


def test_a_429_silences_its_chat_and_the_bots_others_go_on() -> None:
    limits = limits_of(-1, -2)
    assert not limits.cool_down_lane("bot", "-1", Pause(NOW + 30, "429"), NOW)
    assert [lane_at(limits, NOW + at) for at in (0, 2, 4)] == ["-2"] * 3
    assert limits.active(NOW) == {}
    assert lane_at(limits, NOW + 30) == "-1"


def test_a_second_chats_429_is_taken_for_the_bots() -> None:
    limits = limits_of(-1, -2, -3)
    limits.cool_down_lane("bot", "-1", Pause(NOW + 30, "first"), NOW)
    assert limits.cool_down_lane("bot", "-2", Pause(NOW + 20, "second"), NOW + 1)
    assert limits.free_at("bot") == NOW + 20
    assert limits.active(NOW)["bot"].reason == "second"
    # Once the first chat's cooldown is over, another's is its own again.
    assert not limits.cool_down_lane("bot", "-3", Pause(NOW + 60, "third"), NOW + 31)


def test_topics_of_one_chat_share_its_minute_and_its_second() -> None:
    limits = limits_of("-1/1", "-1/2")
    sent: list[float] = []
    for tenth in range(1200):
        at = NOW + tenth / 10
        topic, other = ("-1/1", "-1/2") if len(sent) % 2 else ("-1/2", "-1/1")
        route = Route("bot", Kind.PHOTO, Barred(frozenset({other}), math.inf))
        while limits.route_free_at(route) <= at:
            assert lane_at(limits, at, route) == topic
            sent.append(at)
    assert len(sent) == 40
    assert all(later - sooner > 0.95 for sooner, later in pairwise(sent))
    assert all(later - sooner > 59.9 for sooner, later in zip(sent, sent[20:], strict=False))


def test_a_429_of_one_topic_cools_the_chats_other_topics_down_and_no_other_chat() -> None:
    limits = limits_of("-1/1", "-1/2", "-1", "-2")
    assert not limits.cool_down_lane("bot", "-1/1", Pause(NOW + 30, "429"), NOW)
    # It is the chat's still, not the bot's, if another of its topics answers so, too.
    assert not limits.cool_down_lane("bot", "-1/2", Pause(NOW + 30, "429"), NOW)
    assert [lane_at(limits, NOW + at) for at in (0, 2, 4)] == ["-2"] * 3
    limits.resume("bot")
    assert [lane_at(limits, NOW + at) for at in (6, 8)] == ["-2"] * 2
    assert lane_at(limits, NOW + 30).startswith("-1")
    assert limits.cool_down_lane("bot", "-2", Pause(NOW + 60, "429"), NOW + 31) is False


def test_topics_share_a_cooldown_where_no_rates_are_kept_too() -> None:
    limits = Limits({"bot": unlimited_rates(["-1/1", "-1/2", "-2"])})
    limits.cool_down_lane("bot", "-1/1", Pause(NOW + 30, "429"), NOW)
    assert [lane_at(limits, NOW) for _ in range(4)] == ["-2"] * 4


def test_a_topic_that_is_gone_leaves_the_chats_other_topics_in_use() -> None:
    limits = limits_of("-1/1", "-1/2")
    limits.set_lane_aside("bot", "-1/1", Pause(NOW + 3600, "message thread not found", fixable=True))
    assert [lane_at(limits, NOW + at) for at in (0, 2)] == ["-1/2"] * 2


def test_the_later_deadline_of_a_chat_wins() -> None:
    limits = limits_of(-1)
    for until in (NOW + 50, NOW + 20):
        limits.cool_down_lane("bot", "-1", Pause(until, "429"), NOW)
    assert limits.active(NOW)["bot"].until == limits.free_at("bot") == NOW + 50


def test_a_dead_chat_is_set_aside_and_a_bot_without_any_is_paused_until_it_is_mended() -> None:
    limits = limits_of(-1, -2)
    limits.set_lane_aside("bot", "-1", Pause(NOW + 3600, "kicked", fixable=True))
    assert [lane_at(limits, NOW + at) for at in (0, 2)] == ["-2"] * 2
    limits.set_lane_aside("bot", "-2", Pause(NOW + 7200, "chat not found", fixable=True))
    assert limits.active(NOW + 4)["bot"].reason == "kicked"
    assert limits.next_change_at(NOW + 4) == NOW + 3600
    limits.resume("bot")
    assert limits.active(NOW + 4) == {}
    assert lane_at(limits, NOW + 4) == "-1"


def test_resuming_ends_what_a_person_can_mend_and_no_429() -> None:
    limits = limits_of(-1)
    limits.pause("bot", Pause(NOW + 300, "token revoked", fixable=True))
    limits.cool_down_lane("bot", "-1", Pause(NOW + 30, "429"), NOW)
    limits.resume("bot")
    assert limits.free_at("bot") == NOW + 30


def test_a_moved_chat_keeps_its_budget_under_its_new_id() -> None:
    limits = limits_of(-1)
    assert lane_at(limits, NOW) == "-1"
    limits.move_lane("bot", "-1", "-1001")
    limits.move_lane("bot", "-7", "-1007")  # no longer configured
    assert limits.free_at("bot") > NOW + 0.5
    assert limits.reserve(Route("bot", Kind.PHOTO), NOW + 1) == Lane("-1", "-1001")


def test_a_chat_that_has_become_the_same_as_another_is_not_used_twice() -> None:
    limits = limits_of(-1, -1001)
    limits.move_lane("bot", "-1", "-1001")
    limits.resume("bot")  # a user cannot fix that
    assert [lane_at(limits, NOW + at) for at in (0, 2, 4)] == ["-1001"] * 3


def test_a_chat_that_has_become_the_chat_of_another_lanes_topic_shares_its_minute_from_then_on() -> None:
    limits = limits_of(-1, "-1/7", "-1001/42")
    route = Route("bot", Kind.PHOTO)
    under_way = [limits.reserve(route, NOW) for _ in range(3)]
    limits.move_lane("bot", "-1", "-1001")
    assert limits.state("bot").lanes["-1/7"].budget is limits.state("bot").lanes["-1001/42"].budget
    for lane in under_way:
        limits.end(route, lane, None, NOW)
    assert limits.state("bot").lanes["-1001/42"].usage.in_flight == 0
    sent = 0
    for at in range(60):
        while limits.free_at("bot") <= NOW + at:
            lane = limits.reserve(route, NOW + at)
            limits.depart("bot", lane, 1, NOW + at)
            limits.end(route, lane, NOW + at, NOW + at)
            sent += 1
    assert sent == 20


def test_jobs_that_fail_before_their_end_hold_up_nobody() -> None:
    limits = limits_of(-1)
    for _ in range(100):
        assert limits.free_at("bot") <= NOW
        limits.end(Route("bot", Kind.PHOTO), limits.reserve(Route("bot", Kind.PHOTO), NOW), None, NOW)
    assert limits.free_at("bot") <= NOW


def test_only_groups_and_channels_have_a_minute_and_equal_sizes_are_spaced_by_the_servers_rule() -> None:
    rates = telegram_rates([77, -1, -1001, "@channel"], local_server=False)
    assert [bool(lane.quotas) for lane in rates.lanes.values()] == [False, True, True, True]
    assert [equal_size_spacing_s(size) for size in (100_000, 100_001, 5_000_000, 10**9)] == [0.0, 0.2, 0.5, 0.9]
    assert telegram_rates([77], local_server=True).equal_size_spacing_s(10**9) == 0


@given(
    steps=st.lists(st.tuples(st.sampled_from(["out", "in", "fail"]), st.floats(0, 30)), max_size=200),
    messages=st.integers(1, 5),
    window_s=st.floats(1, 60),
)
def test_a_window_never_holds_more_than_its_quota_whatever_ends_when(
    steps: list[tuple[str, float]], messages: int, window_s: float
) -> None:
    rates = LaneRates(quotas=(Quota(messages, window_s),))
    usage, at, counted = Usage(), 0.0, []
    for what, after_s in steps:
        at += after_s
        if what == "out" and quota_free_at(usage, rates.quotas) <= at:
            usage = handed_out(usage, at)
        elif what != "out" and usage.in_flight:
            usage = ended(usage, at, at if what == "in" else None, rates)
            counted += [at] if what == "in" else []
    for start in counted:
        assert sum(start <= at < start + window_s - 1e-6 for at in counted) <= messages


def test_a_clock_that_is_set_back_silences_nobody_and_one_that_sleeps_wakes_on_time() -> None:
    wall, monotonic = [1000.0], [5.0]
    clock = SteadyClock(lambda: wall[0], lambda: monotonic[0])
    assert clock() == 1000.0
    wall[0], monotonic[0] = 1000.0 - 3600, 6.0
    assert clock() == 1001.0
    wall[0], monotonic[0] = 9000.0, 7.0  # suspended meanwhile
    assert clock() == pytest.approx(9000.0)


def test_topics_of_one_chat_take_turns() -> None:
    limits = Limits({"bot": telegram_rates(["-1/1", "-1/2"], local_server=False)})
    assert [lane_at(limits, NOW + 2 * n) for n in range(4)] == ["-1/1", "-1/2", "-1/1", "-1/2"]
