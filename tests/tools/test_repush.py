"""What an operator loses without these: that a run finds references of versions that were replaced, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from load.cli import USAGE, main, read_options
from load.http_clients import HttpError
from load.ledger import Record
from load.options import Mix, Options, Repush, SandboxOptions
from load.plan import make_plan
from load.repush import Again, judge_again, plan_again
from load.run import run_load
from load.table import rows

from streamwarm.model import Refresh
from tests.tools.test_load_figures import JOB, ended
from tests.tools.test_loadgen import PHOTOS, loadgen

OPTIONS = Options(jobs=40, clients=3, rate=20.0, mix=Mix.PHOTOS, size_scale=0.01, repeats=0.25, bad=0.1)


def planned(replaced: float, refresh: Refresh = Refresh.IF_CHANGED) -> tuple[Again, list[Record]]:
    plan = make_plan(OPTIONS, ["a", "b"], salt=1, prefix="p")
    records = [ended(job, "done" if job.expect == "done" else "failed") for job in plan.jobs]
    return plan_again(OPTIONS, Repush(replaced, refresh), plan, records), records


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_the_warm_objects_is_replaced_by_other_bytes_of_the_same_length(share: float) -> None:
    again, records = planned(share)
    warm_keys = {record.job.r2_key for record in records if record.state == "done"}
    assert len(again.objects) == round(share * len(warm_keys))
    assert again.older.keys() == {made.key for made in again.objects} <= warm_keys
    lengths = {record.job.r2_key: record.job.bytes for record in records}
    for made in again.objects:
        assert made.size_bytes == lengths[made.key]
        assert again.newest[made.key] == made.sha256() != again.older[made.key]


def test_each_warm_media_is_pushed_again_once_by_its_key_alone() -> None:
    again, records = planned(0.5)
    media = [(job.destination, job.kind, job.r2_key) for job in again.jobs]
    assert len(set(media)) == len(media)
    assert set(media) == {(r.job.destination, r.job.kind, r.job.r2_key) for r in records if r.state == "done"}
    assert [job.number for job in again.jobs] == list(range(len(media)))
    assert {job.client for job in again.jobs} == {0, 1, 2}
    for job in again.jobs:
        assert job.as_job().keys() == {"destination", "kind", "r2_key", "bytes", "refresh"}
        assert job.delivered_sha256 == again.newest[job.r2_key]
    assert planned(0.5)[0] == again, "the same seed replaces the same objects"
    for job in planned(0.5, Refresh.NEVER)[0].jobs:
        assert job.delivered_sha256 == again.older.get(job.r2_key, again.newest[job.r2_key])


AGAIN = Again([], [], newest={"same": "s", "new": "n2"}, older={"new": "n1"})
DELIVERIES = [{"file_id": f"F-{digest}", "sha256": digest} for digest in ("s", "n1", "n2", "x")]


def again(key: str, *, ran: bool, source: str = "stream") -> Record:
    record = ended(evolve(JOB, r2_key=key), "done", result={"source": source})
    record.running_at = 0.5 if ran else None
    return record


def judge(refresh: Refresh, *answers: tuple[Record, Any]) -> tuple[dict[str, Any], list[str]]:
    given = [(record, {"file_id": found} if isinstance(found, str) else found) for record, found in answers]
    return judge_again(AGAIN, Repush(0.5, refresh), [record for record, _ in given], given, DELIVERIES)


def test_unchanged_and_replaced_objects_are_counted_and_their_references_found_right() -> None:
    figures, wrong = judge(
        Refresh.IF_CHANGED,
        (again("same", ran=False, source="unchanged"), "F-s"),
        (again("same", ran=False, source="unverified"), "F-s"),
        (again("new", ran=True), "F-n2"),
    )
    assert wrong == []
    assert [figures[name] for name in ("unchanged", "unverified", "warmed_anew")] == [1, 1, 1]
    assert (figures["verified_right"], figures["answered_older"]) == (3, 0)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("F-n1", "answered an older version"),
        ("F-x", "bytes of no version"),
        ("F-unknown", "bytes of no version"),
        (None, "found nothing"),
        (HttpError("nothing answers"), "the look-up failed: nothing answers"),
    ],
)
@pytest.mark.parametrize("refresh", [Refresh.IF_CHANGED, Refresh.ALWAYS])
def test_a_look_up_that_is_not_of_the_newest_version_once_its_push_is_done_is_wrong(
    refresh: Refresh, found: Any, told: str
) -> None:
    figures, [wrong] = judge(refresh, (again("new", ran=True), found))
    assert wrong.startswith("new → bot1: after its push was done, ")
    assert told in wrong
    assert figures["verified_right"] == 0


def test_never_may_answer_an_older_version_and_nothing_else_that_is_wrong() -> None:
    figures, wrong = judge(Refresh.NEVER, (again("new", ran=False), "F-n1"), (again("same", ran=False), "F-s"))
    assert (wrong, figures["answered_older"], figures["verified_right"]) == ([], 1, 1)
    assert judge(Refresh.NEVER, (again("new", ran=False), "F-x"))[1] != []


@pytest.mark.parametrize(
    ("refresh", "key", "ran", "found", "told"),
    [
        (Refresh.NEVER, "new", True, "F-n2", "in spite of refresh=never"),
        (Refresh.IF_CHANGED, "same", True, "F-s", "though its object has not changed"),
        (Refresh.ALWAYS, "same", False, "F-s", "not warmed anew in spite of refresh=always"),
    ],
)
def test_an_upload_that_the_policy_did_not_ask_for_or_that_was_not_made_is_wrong(
    refresh: Refresh, key: str, ran: bool, found: str, told: str
) -> None:
    _, [wrong] = judge(refresh, (again(key, ran=ran), found))
    assert told in wrong


def test_either_option_asks_for_a_second_push_and_none_leaves_it_out() -> None:
    def read(*arguments: str) -> Options:
        return read_options(main.make_context("loadgen", ["--sandbox", *arguments]).params)

    assert read().repush is None
    assert read("--replaced", "0.2").repush == Repush(0.2, Refresh.IF_CHANGED)
    assert read("--replaced", "0").repush == Repush(0.0, Refresh.IF_CHANGED)
    assert read("--refresh", "always").repush == Repush(0.0, Refresh.ALWAYS)
    for arguments, compares in (((), False), (("--replaced", "0"), True)):
        sandbox = read(*arguments).sandbox
        assert sandbox is not None
        assert sandbox.compares_always is compares


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--replaced", "0"), b"add --sandbox"),
        (("--refresh", "never"), b"add --sandbox"),
        (("--sandbox", "--replaced", "1.5"), b"0<=x<=1"),
        (("--sandbox", "--refresh", "sometimes"), b"if_changed"),
        (("--sandbox", "--replaced", "0.5", "--outage", "2"), b"leave them out, or --outage"),
    ],
)
async def test_a_second_push_that_cannot_be_meant_ends_with_2_and_says_what_to_do(
    arguments: tuple[str, ...], told: bytes, tmp_path: Path
) -> None:
    ran = await loadgen(*arguments, cwd=tmp_path)
    assert ran.returncode == USAGE
    assert told in ran.stderr


@pytest.mark.parametrize(
    ("refresh", "unchanged", "anew", "right", "older"),
    [("if_changed", 6, 6, 12, 0), ("always", 0, 12, 12, 0), ("never", 12, 0, 6, 6)],
)
async def test_what_each_policy_does_with_replaced_objects_is_counted_against_real_servers(
    refresh: str, unchanged: int, anew: int, right: int, older: int, tmp_path: Path
) -> None:
    given = ("--sandbox", "--jobs", "12", *PHOTOS, "--replaced", "0.5", "--refresh", refresh, "--json")
    ran = await loadgen(*given, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])["repush"]
    assert (told["refresh"], told["replaced_objects"], told["jobs"], told["unverified"]) == (refresh, 6, 12, 0)
    assert (told["unchanged"], told["warmed_anew"]) == (unchanged, anew)
    assert (told["verified_right"], told["answered_older"]) == (right, older)
    assert b"look-ups right: the newest version" in ran.stdout


async def test_a_service_that_trusts_a_record_of_a_replaced_object_fails_the_run() -> None:
    """One that compares only what it compared over five minutes ago, and calls those pushes done."""
    sandbox = SandboxOptions(compares_always=False)
    options = Options(
        jobs=8,
        mix=Mix.PHOTOS,
        size_scale=0.1,
        repeats=0.0,
        repush=Repush(0.5, Refresh.IF_CHANGED),
        sandbox=sandbox,
    )
    summary = (await run_load(options, lambda _: None)).summary
    assert (summary["ok"], summary["states"], summary["repush"]["answered_older"]) == (False, {"done": 8}, 4)
    wrong = "\n".join(summary["wrong"])
    assert wrong.count("after its push was done, the look-up answered an older version") == 4, wrong
    assert dict(rows(summary))["  look-ups that answered an older version"] == "4"
