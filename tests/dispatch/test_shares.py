"""Several processes together stay inside every budget, however many they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamwarm.dispatch.limits import Limits
from streamwarm.model import Kind, Route
from streamwarm.send.destination import LaneRates, Quota, Rates

CHAT = LaneRates(spacing_s=1.0, quotas=(Quota(20, 60.0),))
BOT = Rates((Quota(30, 1.0),), {"chat": CHAT}, lambda size_bytes: 0.2)


@given(st.integers(1, 100), st.floats(0.1, 3600), st.integers(1, 50))
def test_the_shares_of_a_quota_are_never_more_than_the_quota(messages: int, window_s: float, processes: int) -> None:
    share = Quota(messages, window_s).share(processes)
    assert share.messages >= 1
    assert processes * share.messages / share.window_s <= messages / window_s * (1 + 1e-9)
    in_one_window = -(-window_s // share.window_s) * share.messages
    assert in_one_window * processes <= messages or share.messages == 1


def hand_out_all(limits: Limits, now: float) -> int:
    """How many attempts at the bot may be under way at once."""
    count = 0
    while limits.free_at("bot") <= now:
        lane = limits.reserve(Route("bot", Kind.PHOTO), now)
        limits.depart("bot", lane, 1, now)
        limits.end(Route("bot", Kind.PHOTO), lane, now, now)
        count += 1
    return count


def test_two_processes_hand_out_what_one_would_and_a_share_changes_at_once() -> None:
    without_spacing = Rates((), {"chat": LaneRates(quotas=(Quota(20, 60.0),))})
    alone = Limits({"bot": without_spacing})
    assert hand_out_all(alone, 1000.0) == 20
    pair = [Limits({"bot": without_spacing}) for _ in range(2)]
    for limits in pair:
        assert limits.share(2)
        assert not limits.share(2)
    assert [hand_out_all(limits, 1000.0) for limits in pair] == [10, 10]
    pair[0].share(1)  # the other has died
    assert hand_out_all(pair[0], 1000.0) == 10
    assert hand_out_all(pair[0], 1061.0) == 20


def test_spacings_grow_with_the_number_of_processes() -> None:
    limits = Limits({"bot": BOT})
    limits.share(3)
    rates = limits.state("bot").rates
    assert (rates.lanes["chat"].spacing_s, rates.equal_size_spacing_s(5)) == (3.0, 0.2 * 3)
    assert limits.state("bot").lanes["chat"].rates == rates.lanes["chat"]
