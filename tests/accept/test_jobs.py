from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.accept.wire.jobs import parse_job
from streamwarm.backlog.store import Refused
from streamwarm.model import Kind, NewJob
from tests.worlds.accept import StubBot, job

BOTS = {"mybot": StubBot()}


def refusal(raw: object) -> Refused:
    verdict = parse_job(raw, BOTS)
    assert isinstance(verdict, Refused)
    return verdict


def test_a_full_job_arrives_as_it_was_written() -> None:
    raw = job("media/ü.mp4", sha256="AB" * 32, bytes=123, id="mine", options={"caption": "hi"})
    assert parse_job(raw, BOTS) == NewJob("mybot", Kind.VIDEO, "media/ü.mp4", "ab" * 32, 123, "mine", {"caption": "hi"})


def test_null_is_as_good_as_absent_for_what_is_optional() -> None:
    raw = job(sha256=None, bytes=None, id=None, options=None)
    assert parse_job(raw, BOTS) == NewJob("mybot", Kind.VIDEO, "media/a.mp4")


@pytest.mark.parametrize(
    ("raw", "code", "named"),
    [
        (None, "invalid_job", "object"),
        ([], "invalid_job", "object"),
        ({}, "invalid_job", "destination"),
        (job(destination="other"), "unknown_destination", "mybot"),
        (job(destination=["mybot"]), "invalid_job", "destination"),
        (job(kind="film"), "unknown_kind", "photo"),
        (job(kind=3), "invalid_job", "kind"),
        (job(r2_key=""), "invalid_job", "r2_key"),
        (job(r2_key="x" * 1025), "invalid_job", "1024"),
        (job(r2_key="ü" * 513), "invalid_job", "1024"),
        (job(r2_key="a\0b"), "invalid_job", "NUL"),
        (job(r2_key="\udc80"), "invalid_job", "surrogate"),
        (job(sha256="12"), "invalid_job", "sha256"),
        (job(sha256="ab" * 32 + "\n"), "invalid_job", "sha256"),
        (job(bytes=-1), "invalid_job", "bytes"),
        (job(bytes=True), "invalid_job", "bytes"),
        (job(bytes=1.5), "invalid_job", "bytes"),
        (job(bytes=2**63), "invalid_job", "bytes"),
        (job(id=""), "invalid_job", "id"),
        (job(id="x" * 129), "invalid_job", "id"),
        (job(id="a\x07"), "invalid_job", "id"),
        (job(id=5), "invalid_job", "id"),
        (job(options=[]), "invalid_options", "object"),
        (job(options={"color": 1}), "invalid_options", "caption"),
        (job(options={"caption": "\ud800"}), "invalid_options", "surrogate"),
        (job(options={"caption": "x" * 20_000}), "invalid_options", "16384"),
        (job(prority=1), "invalid_job", "prority"),
    ],
)
def test_a_bad_job_is_refused_with_its_fault_and_what_is_allowed(raw: object, code: str, named: str) -> None:
    verdict = refusal(raw)
    assert verdict.code == code
    assert named in verdict.message


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=200))
def test_any_text_that_r2_could_hold_names_exactly_that_object(key: str) -> None:
    verdict = parse_job(job(key), BOTS)
    if "\0" in key or any("\ud800" <= character <= "\udfff" for character in key):
        assert isinstance(verdict, Refused)
    else:
        assert isinstance(verdict, NewJob)
        assert verdict.r2_key == key


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    VALUES
    | st.dictionaries(
        st.sampled_from(["destination", "kind", "r2_key", "sha256", "bytes", "id", "options", "other"]),
        VALUES | st.sampled_from(["mybot", "video", "key"]),
    )
)
def test_no_job_whatever_raises(raw: Any) -> None:
    assert isinstance(parse_job(raw, BOTS), NewJob | Refused)
