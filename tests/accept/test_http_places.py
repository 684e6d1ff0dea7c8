"""Who is cut off when there are more clients than places. What is lost without it: the bot, and not the attacker."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.accept.http.places import Place, Places


class Crowd:
    """Places and those who hold them, by name."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self.places = Places(most, most_per_address)
        self.inside: dict[str, Place] = {}

    def enter(self, name: str, address: str = "a") -> bool:
        place = self.places.enter(address, lambda: self.inside.pop(name) and None)
        if place is not None:
            self.inside[name] = place
        return place is not None


def test_the_stranger_that_waits_longest_goes_and_never_the_bot_that_is_known() -> None:
    crowd = Crowd(8, 8)
    for number in range(4):
        crowd.enter(f"bot {number}")
        crowd.places.admit(crowd.inside[f"bot {number}"])
        crowd.places.wait(crowd.inside[f"bot {number}"])
    for number in range(100):
        assert crowd.enter(f"stranger {number}")
    assert [*crowd.inside] == [*(f"bot {n}" for n in range(4)), *(f"stranger {n}" for n in range(96, 100))]


def test_an_attacker_at_one_address_cuts_off_only_itself() -> None:
    crowd = Crowd(10, 8)
    crowd.enter("probe", "probe's")
    for number in range(100):
        assert crowd.enter(str(number), "attacker's")
    assert "probe" in crowd.inside
    for number in range(100):
        crowd.enter(f"second {number}", "second's")
    assert "probe" in crowd.inside


def test_a_network_of_one_customer_is_one_address() -> None:
    crowd = Crowd(100, 4)
    for number in range(50):
        assert crowd.enter(f"{number}", f"2001:db8:1:1::{number:x}")
    assert crowd.enter("other", "2001:db8:1:2::1")
    assert crowd.enter("mapped", "::ffff:127.0.0.1")
    assert len(crowd.inside) == 6


def test_a_client_with_many_known_connections_leaves_room_for_one_who_has_yet_to_ask() -> None:
    crowd = Crowd(8, 8)
    for number in range(8):
        crowd.enter(f"bot {number}")
        crowd.places.admit(crowd.inside[f"bot {number}"])
        crowd.places.wait(crowd.inside[f"bot {number}"])
    for number in range(3):
        crowd.enter(f"newcomer {number}")
    assert [name for name in crowd.inside if name.startswith("newcomer")] == [f"newcomer {n}" for n in range(3)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "admit", "wait", "demote", "leave"]), st.integers(0, 30), st.sampled_from("abc")
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(1, 12), st.integers(1, 12))
def test_whatever_happens_no_more_are_inside_than_fit_and_none_under_way_is_cut_off(
    steps: list[tuple[str, int, str]], most: int, most_per_address: int
) -> None:
    crowd = Crowd(most, most_per_address)
    names = iter(range(1000))
    for step, number, address in steps:
        working = {name for name, place in crowd.inside.items() if place.is_working}
        if step == "enter":
            has_entered = crowd.enter(str(next(names)), address)
            here = [place for place in crowd.inside.values() if place.address == address]
            waiting = [place for place in crowd.inside.values() if not place.is_working]
            assert has_entered or not waiting or all(place.is_working for place in here)
        elif crowd.inside:
            name = list(crowd.inside)[number % len(crowd.inside)]
            place = crowd.inside[name]
            getattr(crowd.places, step)(place)
            if step == "leave":
                del crowd.inside[name]
            working = {other for other in working if other != name}
        assert working <= set(crowd.inside)
        assert len(crowd.inside) <= most
        under_way = sum(place.is_working for place in crowd.inside.values())
        assert under_way <= max(1, most - max(1, most // 8))
    for place in list(crowd.inside.values()):
        crowd.places.leave(place)
        crowd.places.leave(place)
        assert not crowd.places.admit(place)
    assert crowd.places == Places(most, most_per_address)
