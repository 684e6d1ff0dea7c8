"""What a person at the terminal loses without these: why their push does not move, and what they can do about it."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import trio
from attrs import define, field
from rich.console import Console
from trio.testing import MockClock

from streamwarm.cli.client import CallError, Unreachable
from streamwarm.cli.display import JsonLines, open_display
from streamwarm.cli.follow import Display, Following
from streamwarm.cli.pause import pause_lines
from streamwarm.cli.pauses import PauseNews
from streamwarm.cli.push import RATE_LIMITED, follow_to_end, push_batch

USER = {"until": None, "reason": "paused by a user", "by": "user"}
SOURCE = {"until": None, "reason": "NoSuchBucket", "by": "source"}
REVOKED = {"until": "2026-03-01T12:00:00Z", "reason": "Telegram answered 401", "by": "destination", "mendable": True}
COOLDOWN = {"until": "2026-03-01T12:00:00Z", "reason": "Telegram answered 429", "by": "destination"}
NO_VOICE = {"until": "2026-03-01T12:00:00Z", "reason": "no rights to send voice", "by": "destination"}
PHOTO, VOICE = ("mybot", "photo"), ("mybot", "voice")


def stats(
    *, service: Any = None, source: Any = None, mybot: Any = None, other: Any = None, voice: Any = None
) -> dict[str, Any]:
    bot = {"type": "telegram", "queue": {}, "paused": mybot} | ({"paused_kinds": {"voice": voice}} if voice else {})
    return {
        "paused": service,
        "source": {"bucket": "media", "paused": source},
        "destinations": {"mybot": bot, "other": {"type": "http", "queue": {}, "paused": other}},
    }


NOTHING = stats()


@pytest.mark.parametrize(
    ("paused", "begins", "words"),
    [
        (stats(service=USER), "the whole service is paused (paused by a user)", "at `streamwarm resume`"),
        (stats(source=SOURCE), "the bucket media is paused (NoSuchBucket)", "once a probe of the bucket succeeds"),
        (stats(mybot=USER), "mybot is paused (paused by a user)", "at `streamwarm resume mybot`"),
        (stats(mybot=REVOKED), "mybot is paused (Telegram answered 401)", "or at `streamwarm resume mybot` once"),
        (stats(mybot=COOLDOWN), "mybot is paused (Telegram answered 429)", "again at 2026-03-01"),
        (stats(voice=NO_VOICE), "voice at mybot is paused (no rights to send voice)", "`streamwarm resume mybot`"),
    ],
)
def test_a_pause_is_said_once_with_its_reason_and_what_ends_it_and_its_end_once(
    paused: Mapping[str, Any], begins: str, words: str
) -> None:
    news = PauseNews()
    [line] = news.lines(paused, {VOICE})
    assert line.startswith(f"waiting: {begins}: ")
    assert words in line
    assert news.lines(paused, {VOICE}) == []
    assert news.lines(NOTHING, {VOICE}) == []  # for a moment, each time the destination is tried
    assert news.lines(paused, {VOICE}) == []
    assert [*news.lines(NOTHING, {VOICE}), *news.lines(NOTHING, {VOICE}), *news.lines(NOTHING, {VOICE})] == [
        f"{begins.partition(' is ')[0]} is not paused any more"
    ]


@pytest.mark.parametrize(
    ("left", "line"),
    [
        (stats(service=USER), "the whole service: paused until it is resumed (paused by a user)"),
        (stats(source=SOURCE), "the bucket media: paused until a probe of it succeeds (NoSuchBucket)"),
        (stats(mybot=USER), "mybot: paused until it is resumed (paused by a user)"),
        (stats(voice={**NO_VOICE, "until": None}), "voice at mybot: paused until it is resumed (no rights to send"),
    ],
)
def test_after_a_resume_whatever_is_still_paused_is_named(left: dict[str, Any], line: str) -> None:
    [said] = pause_lines(left)
    assert said.startswith(line)
    assert pause_lines(NOTHING) == []


def test_a_429_is_not_offered_to_be_resumed() -> None:
    [line] = PauseNews().lines(stats(mybot=COOLDOWN), {PHOTO})
    assert "resume" not in line


def test_what_no_job_of_this_push_waits_for_is_not_said() -> None:
    assert PauseNews().lines(stats(other=USER, voice=NO_VOICE), {PHOTO}) == []
    assert PauseNews().lines(stats(service=USER), set()) == []


def test_another_cause_of_the_same_pause_is_said_too() -> None:
    news = PauseNews()
    news.lines(stats(mybot=COOLDOWN), {PHOTO})
    assert news.lines(stats(mybot={**COOLDOWN, "reason": "429 once more"}), {PHOTO}) == []
    [line] = news.lines(stats(mybot=REVOKED), {PHOTO})
    assert "401" in line


@define
class Service:
    """A service in virtual time. `at(now)` is its stats; it counts how often they were asked for."""

    at: Callable[[float], dict[str, Any]]
    notifications: trio.MemoryReceiveChannel[Mapping[str, Any]]
    full_until: float = 0.0
    asked: int = 0
    fails: list[Exception] = field(factory=list)

    async def call(self, method: str, params: Mapping[str, Any]) -> Any:
        await trio.lowlevel.checkpoint()
        if method == "push":
            if trio.current_time() < self.full_until:
                raise CallError(RATE_LIMITED, "full", {"retry_after_s": 5.0})
            jobs = enumerate(params["jobs"])
            accepted = [{"index": at, "id": str(at), "state": "queued", "duplicate": False} for at, _ in jobs]
            return {"accepted": accepted, "rejected": []}
        self.asked += 1
        if self.fails:
            raise self.fails.pop()
        return self.at(trio.current_time())


async def push(
    at: Callable[[float], dict[str, Any]],
    ends_at: float,
    *,
    full_until: float = 0.0,
    fails: Sequence[Exception] = (),
    display: Display | None = None,
    watch: bool = True,
) -> Service:
    """Push a photo that is done at that time."""
    send, receive = trio.open_memory_channel[Mapping[str, Any]](10)
    service = Service(at, receive, full_until, fails=list(fails))
    job = {"destination": "mybot", "kind": "photo", "r2_key": "a.jpg"}
    following = Following(display or JsonLines())

    async def end() -> None:
        await trio.sleep_until(ends_at)
        await send.send({"method": "event", "params": {"id": "0", "state": "done", "result": {}}})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        async with follow_to_end(service, following):
            await push_batch(service, [job], following, watch=watch)
    assert following.ok == 1
    return service


async def test_a_push_that_waits_says_why_on_standard_error_and_nothing_more_on_standard_output(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    service = await push(lambda now: stats(service=USER) if now < 3_600 else NOTHING, 3_601)
    told = capsys.readouterr()
    begun, ended = told.err.splitlines()
    assert begun.startswith("streamwarm: waiting: the whole service is paused (paused by a user)")
    assert ended == "streamwarm: the whole service is not paused any more"
    assert told.out.count("\n") == 1  # the job's JSON line
    assert service.asked <= 3_600 / 5 + 3


async def test_a_push_that_is_not_taken_because_a_paused_service_is_full_says_so(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await push(lambda now: stats(service=USER) if now < 60 else NOTHING, 101, full_until=100)
    told = capsys.readouterr().err
    assert told.count("waiting: the whole service is paused") == 1
    assert told.count("not paused any more") == 1


async def test_a_push_that_is_done_at_once_asks_nothing(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    service = await push(lambda _: stats(service=USER), 0.5)
    assert (service.asked, capsys.readouterr().err) == (0, "")


async def test_a_push_that_leaves_its_jobs_alone_says_what_they_wait_for(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    service = await push(lambda _: stats(service=USER, other=USER), 1, watch=False)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("streamwarm: waiting: the whole service is paused (paused by a user)")
    assert service.asked == 1
    await push(lambda _: NOTHING, 1, watch=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("failure", [CallError(RATE_LIMITED, "slow down", {}), Unreachable("not now")])
async def test_stats_that_are_refused_end_no_push_and_are_asked_for_again(
    failure: Exception, autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await push(lambda _: stats(mybot=REVOKED), 60, fails=[failure])
    assert "Telegram answered 401" in capsys.readouterr().err


async def test_a_hostile_reason_does_not_steer_the_terminal(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await push(lambda _: stats(mybot={**REVOKED, "reason": "x\x1b[2J\nforged"}), 60)
    assert "x\\x1b[2J\\nforged" in capsys.readouterr().err


async def test_on_a_terminal_the_line_stands_above_the_bars_and_not_in_them(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    shown = io.BytesIO()
    terminal = Terminal(shown, encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console(file=terminal, force_terminal=True, width=120)
    with open_display(as_json=False, console=console) as display:
        await push(lambda _: stats(mybot=REVOKED), 60, display=display)
    said = [line for line in re.split(r"[\r\n]|\x1b\[2K", shown.getvalue().decode()) if "is paused" in line]
    assert len(said) == 1
    assert said[0].startswith("streamwarm: waiting: mybot is paused")


async def test_standard_error_in_a_file_gets_the_line_though_the_bars_are_on_a_terminal(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with open_display(as_json=False, console=console) as display:
        await push(lambda _: stats(mybot=REVOKED), 60, display=display)
    assert capsys.readouterr().err.startswith("streamwarm: waiting: mybot is paused")
