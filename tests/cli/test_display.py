"""What users and programs see of a push: bars on a terminal, plain lines in a pipe, or one JSON line per job."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from streamwarm.cli.display import PlainLines, open_display

KEY = "media/[bold]holiday[/bold].mp4"
JOB: dict[str, Any] = {"id": "1", "destination": "mybot", "kind": "video", "r2_key": KEY}
ERROR = {"code": "timeout", "message": "the source sent [nothing]", "permanent": False}


def show(*, as_json: bool = False, terminal: bool = False) -> str:
    """What a console prints while one job is retried and done and another fails."""
    output = io.StringIO()
    console = Console(force_terminal=terminal, file=output, width=100, _environ={"TERM": "xterm"})
    with open_display(as_json=as_json, console=console) as display:
        display.added(2)
        display.started({**JOB, "state": "running"})
        display.progressed("1", 500_000, 1_000_000)
        display.retrying({**JOB, "state": "waiting", "error": ERROR})
        display.started({**JOB, "state": "running"})
        display.ended({**JOB, "state": "done", "result": {"file_id": "BAAC-file"}, "duplicate": True})
        display.ended({**JOB, "id": "2", "state": "failed", "error": ERROR})
        display.progressed("2", 1, None)  # comes after the job's end
    return output.getvalue()


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert show() == ""
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"retrying waiting {KEY} → mybot timeout: the source sent [nothing]",
        f"[1/2] done {KEY} → mybot (was warm already) BAAC-file",
        f"[2/2] failed {KEY} → mybot timeout: the source sent [nothing]",
    ]


@pytest.mark.parametrize(("source", "words"), [("unchanged", "has not changed"), ("unverified", "did not answer")])
def test_who_pushes_again_sees_that_nothing_was_sent(
    source: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    PlainLines().ended({**JOB, "state": "done", "result": {"file_id": "BAAC-file", "source": source}})
    line = capsys.readouterr().out
    assert "(was warm already" in line
    assert words in line
    assert line.endswith("BAAC-file\n")


def test_a_program_gets_one_json_line_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(as_json=True, terminal=True) == ""
    ended = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["id"], one["state"]) for one in ended] == [("1", "done"), ("2", "failed")]
    assert ended[0]["result"] == {"file_id": "BAAC-file"}
    assert ended[1]["error"] == ERROR


def test_a_terminal_gets_bars_and_names_as_they_are() -> None:
    shown = show(terminal=True)
    assert "\x1b[" in shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert f"done {KEY} → mybot (was warm already) BAAC-file" in text
    assert f"failed {KEY} → mybot timeout: the source sent [nothing]" in text
    assert "warming" in text
    assert "2/2" in text


def test_a_hostile_key_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = {"id": "1", "r2_key": "a\x1b[2J\n[2/2] done b", "destination": "mybot", "kind": "photo", "state": "done"}
    plain = PlainLines()
    plain.added(1)
    plain.ended(hostile)
    assert capsys.readouterr().out == "[1/1] done a\\x1b[2J\\n[2/2] done b → mybot\n"
