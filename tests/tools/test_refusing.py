"""What an operator loses without these: what chats that refuse cost, told truly, and a run that fails if jobs did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve
from load.cli import USAGE, main, read_options
from load.ledger import Ledger, Record
from load.options import Mix
from load.refusing import UNKNOWN_WORDS, RefusingChats, choose_refusing
from load.summary import summarise
from load.table import rows

from streamwarm.sandbox.bot_api import ChatRefusal
from streamwarm.send.telegram.refusal_table import Verdict, row_of
from tests.tools.test_load_figures import JOB, ended, outcome
from tests.tools.test_loadgen import PHOTOS, loadgen

CHATS = {"bot1": [-1, -2, -3, -4], "bot2": [-5, -6, -7, -8]}


@pytest.mark.parametrize(("share", "each"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.75, 3), (1.0, 3)])
def test_a_share_of_each_bots_chats_refuses_and_one_of_them_never_does(share: float, each: int) -> None:
    refusing = choose_refusing(CHATS, share, Mix.PHOTOS)
    for name, own in CHATS.items():
        chosen = [chat.chat_id for chat in refusing.chats if chat.destination == name]
        assert len(chosen) == each
        assert set(chosen) < set(own)
    assert (refusing.of, refusing.healthy) == (8, 4 - each)


def test_chats_refuse_one_kind_by_known_words_and_everything_by_unknown_ones_in_turn() -> None:
    refusing = choose_refusing(CHATS, 0.75, Mix.MIXED)
    assert [chat.kind for chat in refusing.chats] == ["photo", None, "video", None, "photo", None]
    for rule in refusing.rules():
        ChatRefusal(**rule)
    assert row_of(400, UNKNOWN_WORDS).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("mix", list(Mix))
def test_the_kind_that_is_refused_is_one_that_is_pushed(mix: Mix) -> None:
    pushed = {"photos": {"photo"}, "videos": {"video"}, "huge": {"document"}, "mixed": {"photo", "video"}}
    kinds = {chat.kind for chat in choose_refusing({"bot1": list(range(1, 12))}, 0.9, mix).chats}
    assert kinds == {*pushed[mix], None}


def refused(chat_id: int, times: int, kind: str = "photo") -> dict[str, object]:
    return {"bot_id": 1, "chat_id": chat_id, "topic": None, "kind": kind, "description": "no", "times": times}


def took(seconds: float, *, sends: int, state: str = "done", number: int = 0) -> Record:
    record = ended(evolve(JOB, number=number), state)
    record.id, record.ended_at, record.sends = f"j{number}", seconds, sends
    return record


def test_what_refusals_cost_is_counted_by_chat_and_kind_and_delays_apart_from_the_others() -> None:
    records = [took(1.0, sends=1, number=1), took(30.0, sends=3, number=2), took(2.0, sends=1, number=3)]
    records += [took(9.0, sends=1, number=3), took(5.0, sends=5, state="failed", number=4)]
    records[3].duplicate = True
    refusing = RefusingChats((), of=4, healthy=2)
    cost = refusing.cost(records, [refused(-1, 6), refused(-1, 2, "video"), refused(-2, 1)])
    assert (cost["uploads_refused"], cost["most_by_one_chat_of_one_kind"]) == (9, 6)
    assert [(one["chat_id"], one["kind"], one["uploads"]) for one in cost["by_chat_and_kind"]] == [
        (-1, "photo", 6),
        (-1, "video", 2),
        (-2, "photo", 1),
    ]
    assert (cost["jobs_done"], cost["jobs_failed"], cost["refused_jobs"]) == (3, 1, 2)
    assert (cost["refused_push_to_done_ms"]["max"], cost["other_push_to_done_ms"]["max"]) == (30_000.0, 2_000.0)


def test_a_job_that_failed_beside_a_healthy_chat_fails_the_run_and_one_that_had_to_fail_does_not() -> None:
    refusing = RefusingChats((), of=4, healthy=2)
    failed = [took(5.0, sends=5, state="failed")]
    summary = summarise(outcome(failed, refusing=refusing.cost(failed, [])))
    assert not summary["ok"]
    assert summary["wrong"][0].startswith("1 jobs failed, and 2 or more of each bot's chats")
    bad = [ended(evolve(JOB, expect="source_not_found"), "failed", error_code="source_not_found")]
    assert summarise(outcome(bad, refusing=refusing.cost(bad, [])))["ok"]


def test_the_table_names_each_chat_and_kind_that_refused_something() -> None:
    records = [took(1.0, sends=1)]
    cost = choose_refusing(CHATS, 0.5, Mix.PHOTOS).cost(records, [refused(-1, 6)])
    table = dict(rows(summarise(outcome(records, refusing=cost))))
    assert table["chats that refuse something"] == "4 of 8"
    assert table["  by -1, photo"] == "6  (no)"
    assert not any("refuse" in name for name, _ in rows(summarise(outcome(records))))


def test_every_attempt_of_a_job_is_counted_once_though_it_costs_none_and_two_clients_hear_of_it() -> None:
    ledger = Ledger(lambda: 1.0)
    record = ledger.pushed(JOB, intended_at=0.0)
    ledger.answered(record, {"accepted": [{"id": "j1", "state": "queued", "duplicate": False}], "rejected": []})
    for at in ("2026-11-29T10:00:00Z", "2026-11-29T10:00:05Z", "2026-11-29T10:00:00Z", "2026-11-29T10:00:05Z"):
        ledger.notified({"id": "j1", "state": "running", "attempt": 1, "at": at})
    ledger.notified({"id": "j1", "state": "done", "attempt": 1, "result": {}})
    assert (record.sends, record.attempts) == (2, 1)


def test_a_bot_has_four_chats_unless_told_otherwise_and_one_alone_cannot_be_meant() -> None:
    def read(*arguments: str) -> dict[str, object]:
        return main.make_context("loadgen", ["--sandbox", *arguments]).params

    for arguments, chats in (
        ([], 1),
        (["--refusing-chats", "0.5"], 4),
        (["--refusing-chats", "0.5", "--chats", "2"], 2),
    ):
        sandbox = read_options(read(*arguments)).sandbox
        assert sandbox is not None
        assert sandbox.chats == chats


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--refusing-chats", "0.5"), b"add --sandbox"),
        (("--sandbox", "--refusing-chats", "0.5", "--chats", "1"), b"--chats 2 or more"),
        (("--sandbox", "--refusing-chats", "1.5"), b"0<=x<=1"),
    ],
)
async def test_refusing_chats_that_cannot_be_meant_end_with_2_and_say_what_to_do(
    arguments: tuple[str, ...], told: bytes, tmp_path: Path
) -> None:
    ran = await loadgen(*arguments, cwd=tmp_path)
    assert ran.returncode == USAGE
    assert told in ran.stderr


async def test_what_refusing_chats_cost_is_counted_against_real_servers(tmp_path: Path) -> None:
    ran = await loadgen(
        *("--sandbox", "--jobs", "12", *PHOTOS, "--refusing-chats", "0.5", "--timeout", "60", "--json"), cwd=tmp_path
    )
    summary = json.loads(ran.stdout.splitlines()[-1])
    cost = summary["refusing"]
    assert (cost["chats"], cost["of"], cost["healthy_of_each_bot"]) == (2, 4, 2)
    assert {one["kind"] for one in cost["by_chat_and_kind"]} == {"photo"}
    words = {one["description"] for one in cost["by_chat_and_kind"]}
    assert words == {UNKNOWN_WORDS, "Bad Request: not enough rights to send photos to the chat"}
    assert cost["uploads_refused"] >= cost["most_by_one_chat_of_one_kind"]
    assert 1 <= cost["most_by_one_chat_of_one_kind"] <= 6
    assert (cost["jobs_done"], cost["jobs_failed"], summary["states"]) == (12, 0, {"done": 12})
    assert ran.returncode == 0
    assert b"chats that refuse something" in ran.stdout
