"""What a figure is worth: each is judged by what the far side saw, and counted from when it was meant to begin."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import Any

import pytest
from load.charts import histogram
from load.content import make_objects
from load.ledger import Ledger, Record
from load.metrics import parse_metrics
from load.options import Mix, Options
from load.plan import PlannedJob, make_plan
from load.processes import Usage
from load.spread import percentile
from load.summary import Outcome, summarise
from load.verify import Verdict, judge

from streamwarm.sandbox.image_header import image_size

JOB = PlannedJob(0, 0, "bot1", "photo", "a.png", 1000, None, "done", "aa")


def ended(job: PlannedJob, state: str, **more: Any) -> Record:
    record = Record(job, 0.0, 0.0)
    record.id, record.state, record.ended_at = "j1", state, 1.0
    record.result, record.error_code = more.get("result", {}), more.get("error_code")
    return record


def delivery(**more: Any) -> dict[str, Any]:
    return {"file_id": "F", "bot_id": 1, "sha256": "aa", "bytes": 1000, **more}


def test_a_digest_agrees_only_if_the_far_side_got_those_very_bytes_under_that_very_id() -> None:
    done = ended(JOB, "done", result={"file_id": "F", "sha256": "aa", "bytes": 1000})
    known = frozenset({"bot1"})
    assert judge([done], [delivery()], known=known).wrong == []
    assert judge([done], [delivery(file_id="E"), delivery(), delivery(bot_id=2)], known=known).repeated == 1
    for others in ([delivery(sha256="bb")], [delivery(bytes=999)], [delivery(file_id="G")], []):
        assert len(judge([done], others, known=known).wrong) == 1


def test_a_wrong_digest_that_was_published_is_found_though_its_job_failed_as_expected() -> None:
    mismatched = PlannedJob(0, 0, "bot1", "photo", "a.png", 1000, "bb", "sha256_mismatch", "aa")
    failed = ended(mismatched, "failed", error_code="sha256_mismatch")
    assert failed.as_expected
    assert judge([failed], [], known=frozenset({"bot1"})).wrong == []
    assert len(judge([failed], [delivery()], known=frozenset({"bot1"})).wrong) == 1


def test_a_late_push_counts_its_lateness_and_an_end_read_before_its_reply_is_kept() -> None:
    now = iter([5.0, 6.0, 7.0, 8.0, 9.0])
    ledger = Ledger(lambda: next(now))
    record = ledger.pushed(JOB, intended_at=2.0)
    ledger.notified({"id": "j1", "state": "running", "attempt": 1})
    ledger.notified({"id": "j1", "state": "done", "attempt": 1, "result": {"file_id": "F"}})
    assert ledger.ended == 0
    ledger.answered(record, {"accepted": [{"id": "j1", "state": "queued", "duplicate": False}], "rejected": []})
    assert (record.state, record.running_at, record.push_to_end_s) == ("done", 6.0, 5.0)


def test_two_pushes_of_one_job_both_end_with_it_and_a_rejected_one_ends_at_once() -> None:
    ledger = Ledger(lambda: 1.0)
    records = [ledger.pushed(JOB, intended_at=0.0) for _ in range(3)]
    for record in records[:2]:
        ledger.answered(record, {"accepted": [{"id": "j1", "state": "queued", "duplicate": True}], "rejected": []})
    ledger.answered(records[2], {"accepted": [], "rejected": [{"index": 0, "code": "invalid_job", "message": "no"}]})
    ledger.notified({"id": "j1", "state": "failed", "error": {"code": "timeout", "message": "m"}})
    assert [record.state for record in records] == ["failed", "failed", "rejected"]
    assert (ledger.ended, ledger.surprises, ledger.in_flight) == (3, 3, 0)


def test_the_same_options_make_the_same_load_and_every_object_is_pushed() -> None:
    options = Options(jobs=200, clients=3, rate=10.0, repeats=0.25, bad=0.1, size_scale=0.001, faults=0.05)
    plans = [make_plan(options, ["a", "b"], salt=1, prefix="p") for _ in range(2)]
    assert plans[0] == plans[1]
    arrivals = [job.at_s for job in plans[0].jobs if job.at_s is not None]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] == pytest.approx(20.0, rel=0.3)
    assert {made.key for made in plans[0].objects} <= {job.r2_key for job in plans[0].jobs}
    expects = [job.expect for job in plans[0].jobs]
    assert (expects.count("sha256_mismatch"), expects.count("source_not_found")) == (10, 10)
    assert len({made.sha256() for made in plans[0].objects}) == len(plans[0].objects)


@pytest.mark.parametrize("mix", list(Mix))
def test_objects_have_the_size_and_digest_that_they_are_said_to_have(mix: Mix) -> None:
    for made in make_objects(12, mix, size_scale=0.0201, salt=3, prefix="p")[: 1 if mix is Mix.HUGE else 12]:
        content = b"".join(made.parts())
        assert (len(content), hashlib.sha256(content).hexdigest()) == (made.size_bytes, made.sha256())
        if made.kind == "photo":
            assert image_size(content) == (64, 64)
            assert_is_whole_png(content)


def assert_is_whole_png(content: bytes) -> None:
    file = io.BytesIO(content[8:])
    names = []
    while head := file.read(8):
        length, name = struct.unpack(">I4s", head)
        data, (crc,) = file.read(length), struct.unpack(">I", file.read(4))
        assert zlib.crc32(name + data) == crc
        names.append(name)
    assert (names[0], names[-1]) == (b"IHDR", b"IEND")


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([], 0.5) is None


def test_counters_are_summed_over_the_labels_asked_for() -> None:
    page = 'a_total{x="1",y="p"} 2.0\na_total{x="2",y="p"} 3.0\n'
    metrics = parse_metrics(f"# TYPE a counter\n{page}")
    assert (metrics.total("a_total"), metrics.total("a_total", x="2")) == (5, 3)
    assert metrics.total("a_total", x=("1", "2")) == 5
    assert metrics.total("b_total", default=-1.0) == -1.0


def outcome(records: list[Record], *, page: str = "", processes: int = 1, **more: Any) -> Outcome:
    usage = Usage(70_000_000, 80_000_000, 1.0, 20, 5, processes)
    metrics = {"before": parse_metrics(""), "after": parse_metrics(page)}
    about = {"usage_before": usage, "usage_after": usage, "first_bytes": {}, "wall_offset_s": 0.0, "refused_full": 0}
    return Outcome(records, len(records), [], verdict=Verdict("emulator"), **metrics, **about, **more)


def test_what_was_answered_without_an_upload_makes_no_latency_look_better() -> None:
    worked, warm = ended(JOB, "done"), ended(JOB, "done")
    worked.intended_at, worked.pushed_at, worked.acknowledged_at, worked.ended_at = 0.0, 2.0, 3.0, 4.0
    warm.intended_at, warm.ended_at, warm.duplicate = 3.9, 4.0, True
    summary = summarise(outcome([worked, warm]))
    assert (summary["push_to_done_ms"]["p50"], summary["media_per_minute"], summary["duplicates"]) == (4000.0, 15.0, 1)
    assert summary["acknowledged_ms"]["max"] == 3000.0, "a push that was late counts its lateness"
    assert summary["ok"]


def test_a_run_that_was_cut_short_is_not_well_though_all_it_pushed_ended() -> None:
    summary = summarise(outcome([ended(JOB, "done")], cut="interrupted"))
    assert (summary["ok"], summary["wrong"]) == (False, ["interrupted"])


@pytest.mark.parametrize(("processes", "peak"), [(1, 1), (2, 2)])
def test_the_peak_is_neither_an_earlier_run_s_nor_more_than_the_workers(processes: int, peak: int) -> None:
    records = [ended(JOB, "done") for _ in range(3)]
    for number, record in enumerate(records):
        record.id, record.running_at = f"j{number}", 0.5
    page = "# TYPE streamwarm_workers gauge\nstreamwarm_workers 2\n"
    page += "# TYPE streamwarm_workers_busy_peak gauge\nstreamwarm_workers_busy_peak 1\n"
    assert summarise(outcome(records, page=page, processes=processes))["peak_concurrency"] == peak
    assert summarise(outcome(records[:1], page=page, processes=processes))["peak_concurrency"] == 1


def test_a_bar_holds_the_values_up_to_its_name() -> None:
    assert histogram([0.0, 1.2, 1.5, 1.6, 9.0]) == [("1.5", 2), ("2", 1), ("3", 0), ("5", 0), ("7", 0), ("10", 1)]
    assert histogram([]) == []
