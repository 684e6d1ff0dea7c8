"""What an operator sees at a glance; a number under the wrong name, or a name that controls the terminal, misleads."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from streamwarm.cli.explain import REMEDIES, remedy
from streamwarm.cli.status import can_be_redrawn, render
from streamwarm.cli.status_text import bytes_text, duration_text, status_lines
from streamwarm.cli.table import print_table
from streamwarm.cli.times import BadTime, parse_time
from streamwarm.errors import ErrorCode

PAUSE = {"until": None, "reason": "paused by a user", "by": "user"}
STATS: dict[str, Any] = {
    "paused": None,
    "queue": {"queued": 3, "running": 1, "done": 0, "failed": 2, "oldest_s": 3725.0},
    "workers": {
        "size": 5,
        "busy": 1,
        "busy_peak": 4,
        "streams": [
            {
                "worker": 2,
                "id": "1",
                "destination": "mybot",
                "kind": "video",
                "r2_key": "media/[bold]\x1b[31mfilm.mp4",
                "attempt": 1,
                "bytes_in": 6_000_000,
                "bytes_out": 5_000_000,
                "total": 20_000_000,
                "bytes_per_s": 1_250_000,
                "elapsed_s": 4.0,
            }
        ],
    },
    "pool": {"active": 1, "idle": 2},
    "cache": {},
    "destinations": {
        "mybot": {"type": "telegram", "queue": {"queued": 3, "running": 1}, "paused": None},
        "other": {"type": "http", "queue": {}, "paused": PAUSE},
        "slow": {
            "type": "telegram",
            "queue": {"queued": 100},
            "paused": None,
            "limits": {"messages_per_minute": 20, "chats": 2},
            "eta_s": 300.0,
            "chats": [{"chat": "-1", "paused": None}, {"chat": "-2", "paused": None, "moved_to": "-1002"}],
            "hint": "one group takes 20 a minute: name more chats",
        },
    },
}


def test_a_pipe_gets_a_line_a_thing() -> None:
    lines = status_lines(STATS)
    assert lines[0] == "queue: 3 queued, 1 running, 2 failed; the oldest waits for 1h02m"
    assert lines[1] == "workers: 1 of 5 busy (peak 4)"
    assert "5.0 MB of 20.0 MB, 1.2 MB/s, attempt 1" in lines[2]
    assert lines[3].startswith("mybot (telegram): 3 queued, 1 running")
    assert lines[4].startswith("other (http): no jobs; paused until it is resumed (paused by a user)")
    assert lines[5:9] == [
        "slow (telegram): 100 queued",
        "  at most 20 messages a minute, 2 chats; about 5m00s for what waits",
        "  chat -2 (now -1002)",
        "  one group takes 20 a minute: name more chats",
    ]
    assert lines[9] == "pool: active 1, idle 2"


def test_the_live_view_shows_what_each_worker_streams() -> None:
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=140, color_system=None).print(render(STATS))
    shown = stream.getvalue()
    for words in ("3 queued", "1 of 5 busy", "media/[bold]\\x1b[31mfilm.mp4", "5.0 MB of 20.0 MB", "1.2 MB/s", "other"):
        assert words in shown


@pytest.mark.parametrize(("term", "is_live"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_that_cannot_be_redrawn_gets_lines_and_not_an_empty_screen(term: str, is_live: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": term})
    assert can_be_redrawn(console) is is_live


def test_a_kind_that_no_chat_takes_and_a_chat_that_refuses_one_are_named_with_the_reason() -> None:
    voice = {"until": None, "reason": "no voice\x1b[2J here", "by": "destination", "mendable": True}
    bot = {
        "type": "telegram",
        "queue": {},
        "paused": None,
        "paused_kinds": {"voice": voice},
        "chats": [
            {"chat": "-1", "paused": None, "refused": {"voice": voice, "photo": {**voice, "reason": "no photo"}}},
            {"chat": "-2", "paused": None},
        ],
    }
    lines = status_lines({**STATS, "destinations": {"mybot": bot}})
    assert "  no chat takes voice until it is resumed (no voice\x1b[2J here)" in lines
    assert "  chat -1 refuses voice until it is resumed" in lines  # the line above has the reason
    assert "  chat -1 refuses photo until it is resumed (no photo)" in lines
    assert not [line for line in lines if "chat -2" in line]
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=140, color_system=None).print(
        render({**STATS, "destinations": {"mybot": bot}})
    )
    assert "no chat takes voice" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()


def test_what_stops_everything_comes_first_with_the_reason_and_what_ends_it() -> None:
    source = {"bucket": "media", "paused": {"until": None, "reason": "NoSuchBucket", "by": "source"}}
    stopped = {**STATS, "paused": PAUSE, "source": source}
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=140, color_system=None).print(render(stopped))
    for lines in (status_lines(stopped), stream.getvalue().splitlines()):
        assert lines[0].startswith(
            "PAUSED: the whole service is paused (paused by a user): it goes on at `streamwarm resume`"
        )
        assert lines[1].startswith("PAUSED: the bucket media is paused (NoSuchBucket): it goes on once a probe")


def test_a_name_never_steers_the_terminal_nor_breaks_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("key",), [("a\tb\nc\x1b[2J\u202e",)])
    assert capsys.readouterr().out == "a\\tb\\nc\\x1b[2J\\u202e\n"


@pytest.mark.parametrize(("width", "lines"), [(100, 3), (40, 4)])
def test_a_list_can_be_read_on_a_narrow_terminal(width: int, lines: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    error = "source_not_found: no object of that name in the bucket"
    print_table(("id", "attempt", "error"), [("a" * 28, "1", ""), ("b" * 28, "5", error)], console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert error.rsplit(maxsplit=1)[-1] in shown
    assert "b" * 28 in shown
    assert ("attempt 5" in shown) == (width == 40)
    assert len(shown.splitlines()) == lines


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e9, "2.0 GB"), (3e15, "3000.0 TB")]
)
def test_sizes_are_short(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (200, "3m20s"), (7500, "2h05m"), (273_600, "3d04h")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "at"),
    [("10m", 1600.0), ("1h30m", 6400.0), ("2d", 173_800.0), ("5000", 5000.0), ("1970-01-01T01:00:00+00:30", 1800.0)],
)
def test_times_are_read_as_people_write_them(text: str, at: float) -> None:
    assert parse_time(text, 1000.0) == at


@pytest.mark.parametrize("text", ["", "soon", "m10", "-5m", "1970-01-01T01:00:00", "10m later"])
def test_what_is_no_time_is_told_with_what_is(text: str) -> None:
    with pytest.raises(BadTime, match="Z"):
        parse_time(text, 0.0)


def test_every_error_code_comes_with_what_to_do() -> None:
    assert set(REMEDIES) == set(ErrorCode)
    assert all(remedy(code, "failed") == text for code, text in REMEDIES.items())
    assert remedy("of_a_newer_service", "failed") == "read the message"


def test_nobody_is_sent_to_fix_a_job_that_goes_on_by_itself() -> None:
    for state in ("queued", "waiting", "running"):
        for code in (ErrorCode.DESTINATION_REFUSED, ErrorCode.SOURCE_TRUNCATED, "of_a_newer_service"):
            assert remedy(code, state).startswith("nothing: it is tried again by itself; ")
        for code in (ErrorCode.CHAT_UNAVAILABLE, ErrorCode.UNAUTHORIZED):
            assert "follow the message" in remedy(code, state)
