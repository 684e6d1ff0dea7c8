"""What a user at the terminal loses without these: the right count, and a command that ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define, field

from streamwarm.cli.follow import Following

JOB = {"destination": "mybot", "kind": "photo", "r2_key": "a.jpg"}
ERROR = {"code": "timeout", "message": "slow", "permanent": False}


@define
class Shown:
    """A display that records its calls."""

    count: int = 0
    calls: list[tuple[str, Any]] = field(factory=list)

    def added(self, count: int) -> None:
        self.count += count

    def started(self, job: Mapping[str, Any]) -> None:
        self.calls.append(("started", job["r2_key"]))

    def progressed(self, job_id: str, bytes_out: int, total: int | None) -> None:
        self.calls.append(("progressed", (job_id, bytes_out, total)))

    def retrying(self, job: Mapping[str, Any]) -> None:
        self.calls.append(("retrying", job["error"]["code"]))

    def ended(self, job: Mapping[str, Any]) -> None:
        self.calls.append(("ended", (job["r2_key"], job["state"])))


def answer(job_id: str = "1", state: str = "queued", *, duplicate: bool = False, **more: Any) -> dict[str, Any]:
    return {"index": 0, "id": job_id, "state": state, "duplicate": duplicate, **more}


def event(job_id: str, state: str, **more: Any) -> dict[str, Any]:
    return {"seq": 1, "id": job_id, "state": state, "at": "now", "attempt": 1, **JOB, **more}


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def following(shown: Shown) -> Following:
    return Following(shown)


def test_a_job_is_followed_from_its_start_through_a_retry_to_its_end(following: Following, shown: Shown) -> None:
    following.accepted(JOB, answer())
    following.notified("event", event("1", "running"))
    following.notified("progress", {"id": "1", "bytes_in": 9, "bytes_out": 5, "total": 10})
    following.notified("event", event("1", "waiting", error=ERROR))
    following.notified("event", event("1", "queued"))
    assert (following.open_count, following.ok, following.failed) == (1, 0, 0)
    following.notified("event", event("1", "done", result={"file_id": "f"}))
    assert (following.open_count, following.ok, following.failed) == (0, 1, 0)
    assert shown.calls == [
        ("started", "a.jpg"),
        ("progressed", ("1", 5, 10)),
        ("retrying", "timeout"),
        ("ended", ("a.jpg", "done")),
    ]


def test_an_end_that_is_told_before_the_reply_is_not_waited_for_for_ever(following: Following, shown: Shown) -> None:
    following.notified("event", event("1", "running"))
    following.notified("event", event("1", "done", result={"file_id": "f"}))
    following.accepted(JOB, answer("1"))
    following.batch_answered()
    assert (following.open_count, following.ok) == (0, 1)
    assert shown.calls == [("ended", ("a.jpg", "done"))]


def test_jobs_of_one_push_that_share_an_id_end_together(following: Following, shown: Shown) -> None:
    following.accepted(JOB, answer("1"))
    following.accepted({**JOB, "r2_key": "copy.jpg"}, answer("1", duplicate=True))
    assert following.open_count == 2
    following.notified("event", event("1", "failed", error=ERROR))
    assert (following.open_count, following.ok, following.failed) == (0, 0, 2)
    assert shown.calls == [("ended", ("a.jpg", "failed")), ("ended", ("copy.jpg", "failed"))]


def test_jobs_that_share_an_id_end_together_though_their_end_was_told_first(following: Following) -> None:
    following.notified("event", event("1", "done", result={"file_id": "f"}))
    following.accepted(JOB, answer("1"))
    following.accepted({**JOB, "r2_key": "copy.jpg"}, answer("1", duplicate=True))
    following.batch_answered()
    assert (following.open_count, following.ok) == (0, 2)


@pytest.mark.parametrize(("state", "ok"), [("done", 1), ("failed", 0), ("unknown", 0), ("cancelled", 0)])
def test_a_job_that_had_ended_before_it_was_pushed_counts_at_once(following: Following, state: str, ok: int) -> None:
    following.accepted(JOB, answer(state=state, duplicate=True))
    assert (following.open_count, following.ok, following.failed) == (0, ok, 1 - ok)


def test_a_rejected_job_counts_as_failed_and_says_why(following: Following, shown: Shown) -> None:
    following.rejected(JOB, {"index": 0, "code": "bad_kind", "message": "no such kind"})
    assert (following.open_count, following.failed) == (0, 1)
    assert shown.calls == [("ended", ("a.jpg", "rejected"))]


def test_a_job_that_is_not_to_be_followed_is_told_once(following: Following, shown: Shown) -> None:
    following.accepted_unwatched(JOB, answer())
    assert (following.open_count, following.ok, shown.count) == (0, 1, 1)
    assert shown.calls == [("ended", ("a.jpg", "queued"))]


def test_the_jobs_of_others_are_nobodys(following: Following, shown: Shown) -> None:
    following.notified("event", event("other", "done"))
    following.notified("progress", {"id": "other", "bytes_in": 9, "bytes_out": 5, "total": 10})
    following.batch_answered()
    assert (following.ok, following.failed, shown.calls) == (0, 0, [])
    following.accepted(JOB, answer("other"))  # a later push queues it again: its old end is not this one
    assert following.open_count == 1
