"""What a user loses if the rule about the bucket is wrong: attempts to its trouble, or hours to an endless pause."""

from __future__ import annotations

import math
from functools import reduce
from itertools import pairwise

import pytest
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.backlog.shared_limits import SourcePause
from streamwarm.dispatch.source_health import (
    LOOK_S,
    PROBE_S,
    Denied,
    Event,
    Health,
    Probed,
    Read,
    Saved,
    Verdict,
    after,
)
from streamwarm.errors import Blame

PAUSE = SourcePause("SignatureDoesNotMatch", since=1_700_000_000.0)

GOOD = Probed(10, 11)
BAD = Probed(10, 11, PAUSE, refused=True)
SAVED = Saved(11, done=True)
ELSEWHERE = Read(10, 10, PAUSE, resumes=0)
OVER = Read(50, 50, None, resumes=0)
RESUMED = Read(50, 50, PAUSE, resumes=1)

CHARGE, RELEASE, PROBE = Verdict


def health_after(*events: Event) -> Health:
    return reduce(after, events, Health())


@pytest.mark.parametrize(
    ("events", "blame", "failed_at", "verdict"),
    [
        ([], Blame.OBJECT, 5, CHARGE),
        ([], Blame.UNSURE, 5, PROBE),
        ([], Blame.BUCKET, 5, PROBE),
        ([], Blame.PAUSED, 5, RELEASE),
        ([GOOD], Blame.UNSURE, 10, CHARGE),
        ([GOOD], Blame.BUCKET, 10, CHARGE),
        ([GOOD], Blame.PAUSED, 5, RELEASE),
        ([GOOD], Blame.UNSURE, 10.5, PROBE),  # that probe began before the error
        ([BAD], Blame.UNSURE, 10, RELEASE),
        ([BAD], Blame.UNSURE, 20, RELEASE),
        ([BAD], Blame.OBJECT, 20, CHARGE),
        ([ELSEWHERE], Blame.UNSURE, 20, RELEASE),
        ([BAD, SAVED, Probed(71, 72)], Blame.UNSURE, 60, CHARGE),
        ([BAD, SAVED, Probed(71, 72)], Blame.UNSURE, 75, PROBE),
    ],
)
def test_an_attempt_is_charged_only_for_what_is_the_jobs(
    events: list[Event], blame: Blame, failed_at: float, verdict: Verdict
) -> None:
    assert health_after(*events).verdict(blame, failed_at) is verdict


@pytest.mark.parametrize(
    ("events", "now", "due_in_s"),
    [
        ([], 0, math.inf),
        ([GOOD], 11, math.inf),
        ([BAD], 11, PROBE_S),
        ([Probed(10, 11, PAUSE)], 11, 1),
        ([Probed(10, 11, PAUSE), SAVED, Probed(12, 13, PAUSE)], 13, 2),
        ([Probed(10, 11, PAUSE, refused=True, has_peers=True)], 11, PROBE_S * 1.1),
        ([ELSEWHERE], 10, 0),
        ([ELSEWHERE, Denied(10)], 10, LOOK_S),
        ([BAD, SAVED, RESUMED], 50, 0),
        ([BAD, SAVED, RESUMED, Probed(50, 52, PAUSE, refused=True, resumes=1)], 52, PROBE_S),
        ([BAD, SAVED, RESUMED, Probed(49, 52, PAUSE, refused=True, resumes=0)], 52, 0),  # resumed while it was probed
        ([BAD, SAVED, Read(50, 50, None, resumes=0)], 50, PROBE_S - 39),
    ],
)
def test_a_paused_bucket_is_probed_in_time_and_not_more_often(events: list[Event], now: float, due_in_s: float) -> None:
    assert health_after(*events).probe_in_s(now) == pytest.approx(due_in_s)


@pytest.mark.parametrize(
    ("events", "is_paused"),
    [
        ([BAD, SAVED, OVER], True),  # found here: only an own probe ends it
        ([BAD, SAVED, GOOD], False),
        ([ELSEWHERE, OVER], False),
        ([ELSEWHERE, GOOD], False),
        ([ELSEWHERE, Probed(20, 21, PAUSE), OVER], True),
        ([BAD, Read(5, 12, None, resumes=0)], True),
        ([BAD, SAVED, Probed(71, 72), Read(60, 73, PAUSE, resumes=0)], False),  # that read is older than the probe
        ([BAD, SAVED, Probed(71, 72), Read(74, 75, PAUSE, resumes=0)], True),
        ([BAD, Saved(11, done=False), OVER], True),
    ],
)
def test_a_pause_ends_by_its_own_rule(events: list[Event], is_paused: bool) -> None:
    assert (health_after(*events).pause is not None) is is_paused


def test_a_pause_that_could_not_be_stored_is_stored_later() -> None:
    assert health_after(BAD).is_unsaved
    assert health_after(BAD, Saved(11, done=False)).is_unsaved
    assert not health_after(BAD, SAVED).is_unsaved
    assert not health_after(BAD, Saved(11, done=False), Read(20, 20, PAUSE, resumes=0)).is_unsaved


def test_a_process_that_starts_in_a_pause_does_not_wait_for_a_dead_ones_lease() -> None:
    assert health_after(ELSEWHERE).is_forced
    assert not health_after(Read(5, 5, None, 3), Read(10, 10, PAUSE, 3)).is_forced
    assert not health_after(ELSEWHERE, Probed(20, 21, PAUSE, refused=True)).is_forced


@define
class Process:
    """A process that does what its health says, and checks at each step what users rely on."""

    now: float = 0.0
    health: Health = Factory(Health)
    resumes: int = 0
    good: list[float] = Factory(list)  # when each probe that succeeded began
    unasked: list[float] = Factory(list)  # when each probe began that no error and no user asked for

    def take(self, event: Event) -> None:
        before, self.health = self.health, after(self.health, event)
        if before.pause is not None and before.found_here and self.health.pause is None:
            assert isinstance(event, Probed)
            assert event.found is None
        if self.health.pause is not None:
            assert self.health.probe_in_s(self.now) <= PROBE_S * 1.1

    def probe(self, is_well: bool, took_s: float) -> None:
        began_at, resumes = self.now, self.health.resumes
        self.now += took_s
        if is_well:
            self.good.append(began_at)
        self.take(Probed(began_at, self.now, None if is_well else PAUSE, refused=True, resumes=resumes))

    def fail(self, blame: Blame, is_well: bool, took_s: float) -> None:
        failed_at = self.now
        if self.health.verdict(blame, failed_at) is PROBE:
            self.probe(is_well, took_s)
            if self.health.is_unsaved:
                self.take(Saved(self.now, done=is_well))
        verdict = self.health.verdict(blame, failed_at)
        assert verdict is not PROBE
        if verdict is CHARGE:
            assert blame is Blame.OBJECT or any(began_at >= failed_at for began_at in self.good)

    def wait(self, seconds: float, is_well: bool) -> None:
        until = self.now + seconds
        while (due_in_s := self.health.probe_in_s(self.now)) <= until - self.now:
            self.now += due_in_s
            if not self.health.is_forced:
                self.unasked.append(self.now)
            self.probe(is_well, 0.5)
        self.now = max(self.now, until)

    def read(self, is_paused: bool, age_s: float, resumed: bool) -> None:
        self.resumes += resumed
        self.take(Read(self.now - age_s, self.now, PAUSE if is_paused else None, self.resumes))
        if resumed and self.health.pause is not None:
            assert self.health.probe_in_s(self.now) == 0
            assert self.health.is_forced


STEPS = st.one_of(
    st.tuples(st.just("fail"), st.sampled_from(Blame), st.booleans(), st.floats(0, 25)),
    st.tuples(st.just("wait"), st.floats(0, 200), st.booleans()),
    st.tuples(st.just("read"), st.booleans(), st.floats(0, 30), st.booleans()),
)


@given(st.lists(STEPS, max_size=30))
def test_no_history_charges_a_job_for_the_bucket_or_leaves_the_bucket_paused(steps: list[tuple[str, object]]) -> None:
    process = Process()
    for name, *arguments in steps:
        getattr(process, name)(*arguments)
    process.wait(2 * PROBE_S, True)
    assert process.health.pause is None


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(Blame)), max_size=20))
def test_a_bucket_that_refuses_is_probed_once_a_minute_whatever_fails_meanwhile(
    failures: list[tuple[float, Blame]],
) -> None:
    process = Process()
    process.fail(Blame.BUCKET, False, 1.0)
    for after_s, blame in failures:
        process.wait(after_s, False)
        process.fail(blame, False, 1.0)
    assert all(late - early >= PROBE_S for early, late in pairwise(process.unasked))
