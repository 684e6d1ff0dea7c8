"""What an operator loses without these: log lines that tools can read and users can search by the contract's tags."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from attrs import evolve

from streamwarm.errors import ErrorCode
from streamwarm.model import Kind
from streamwarm.redact import make_redactor
from streamwarm.watch import observations
from streamwarm.watch.logs import make_logger

CANARY = "canary-4f1c9d2e"
ABOUT: dict[str, Any] = {"id": "job-1", "destination": "mybot", "kind": Kind.VIDEO, "r2_key": "media/a.mp4"}
FAILED = observations.AttemptFailed(
    **ABOUT, attempt=2, code=ErrorCode.TIMEOUT, message=f"no byte, {CANARY}", outcome="failed", final=True
)

TAGGED: list[tuple[observations.Observation, str, dict[str, Any]]] = [
    (
        observations.WorkersStarted(5, 500),
        "[MEDIA][PREWARM][WORKER][START]",
        {"concurrency": 5, "max_queue_size": 500},
    ),
    (observations.PoolOpened(50, 150.0), "[R2][AGENT]", {"connections": 50, "keepalive_s": 150.0}),
    (observations.JobAdded(**ABOUT), "[MEDIA][PREWARM][QUEUE][ADD]", {"id": "job-1", "r2_key": "media/a.mp4"}),
    (observations.QueueFull(3, 100), "[MEDIA][PREWARM][QUEUE][FULL]", {"refused": 3, "max_pending": 100}),
    (observations.QueueReordered(7), "[MEDIA][PREWARM][QUEUE][REORDER]", {"jobs": 7}),
    (
        observations.AttemptStarted(**ABOUT, attempt=1, worker=3, queue_wait_s=0.25),
        "[MEDIA][PREWARM][START]",
        {"worker": 3, "kind": "video", "queue_wait_s": 0.25},
    ),
    (observations.CacheHit("job-1", "media/a.mp4", 9), "[MEDIA][PREWARM][DOWNLOAD_CACHE_HIT]", {"bytes": 9}),
    (
        observations.AttemptSucceeded(**ABOUT, attempt=1, bytes=9, transfer_s=0.5, warm_s=1.5),
        "[MEDIA][PREWARM][OK]",
        {"bytes": 9, "transfer_s": 0.5},
    ),
    (FAILED, "[MEDIA][PREWARM][ERR]", {"code": "timeout", "outcome": "failed"}),
    (
        observations.RetryScheduled("job-1", "mybot", ErrorCode.TIMEOUT, 1, 2.0),
        "[MEDIA][PREWARM][RETRY]",
        {"code": "timeout", "in_s": 2.0},
    ),
    (
        observations.BatchDone(10, 9, 1, 3.5),
        "[MEDIA][PREWARM][BATCH][DONE]",
        {"count": 10, "ok": 9, "failed": 1, "seconds": 3.5},
    ),
]


def logged(observation: observations.Observation, form: str = "json", level: str = "debug") -> str:
    stream = io.StringIO()
    make_logger(form=form, level=level, redact=make_redactor([CANARY]), stream=stream)(observation)
    return stream.getvalue()


@pytest.mark.parametrize(("observation", "tag", "fields"), TAGGED, ids=[tag for _, tag, _ in TAGGED])
def test_a_line_carries_its_tag_and_fields_as_json(
    observation: observations.Observation, tag: str, fields: dict[str, Any]
) -> None:
    text = logged(observation)
    assert text.count("\n") == 1
    line = json.loads(text)
    assert line["event"] == tag
    assert line.items() >= fields.items()
    assert {"level", "timestamp"} <= line.keys()


def test_no_secret_leaves_in_a_message_or_a_traceback() -> None:
    assert CANARY not in logged(FAILED)
    assert CANARY not in logged(FAILED, "console")
    try:
        raise ValueError(f"https://host/?sig={CANARY}")
    except ValueError as exc:
        text = logged(observations.UnexpectedError("testing", exc))
    assert CANARY not in text
    assert "ValueError" in json.loads(text)["traceback"]


def test_a_line_of_hostile_names_is_still_one_line() -> None:
    text = logged(observations.JobAdded("job-1", "mybot", Kind.VIDEO, 'a\n{"event": "forged"}\x1b[2J'))
    assert text.count("\n") == 1
    assert json.loads(text)["event"] == "[MEDIA][PREWARM][QUEUE][ADD]"
    assert "\x1b" not in text


def test_the_console_form_is_for_people_and_a_pipe_gets_json() -> None:
    console = logged(observations.BatchDone(10, 9, 1, 3.5), "console")
    assert "[MEDIA][PREWARM][BATCH][DONE]" in console
    assert "failed=1" in console
    with pytest.raises(json.JSONDecodeError):
        json.loads(console)
    assert json.loads(logged(observations.BatchDone(10, 9, 1, 3.5), "auto"))["failed"] == 1


def test_lines_below_the_level_are_left_out() -> None:
    assert logged(observations.BatchDone(1, 1, 0, 0.1), level="error") == ""
    assert logged(FAILED, level="error") != ""


def test_libraries_that_log_whole_urls_are_silent() -> None:
    logged(observations.QueueReordered(1))
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert not logging.getLogger("httpcore").isEnabledFor(logging.DEBUG)


class FullDisk(io.StringIO):
    """A stream that fails while it is full."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_on_a_full_disk_ends_no_service_and_goes_on_once_there_is_room() -> None:
    stream = FullDisk()
    observe = make_logger(form="json", level="info", redact=str, stream=stream)
    observe(observations.QueueReordered(1))
    stream.full = False
    observe(observations.QueueReordered(2))
    assert [json.loads(line)["jobs"] for line in stream.getvalue().splitlines()] == [2]


class _Borders(io.RawIOBase):
    """Records each write separately, as a pipe or an appended file keeps the writes of several processes apart."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.writes.append(bytes(data))
        return len(data)


@pytest.mark.parametrize("form", ["json", "console"])
def test_lines_of_processes_that_share_a_log_never_run_together(form: str) -> None:
    log = _Borders()
    stream = io.TextIOWrapper(log, encoding="utf-8", write_through=True)  # as Python opens the standard error
    observe = make_logger(form=form, level="info", redact=lambda text: text, stream=stream)
    observe(observations.Lifecycle("serving", "x" * 9_000))
    observe(FAILED)
    assert len(log.writes) == 2
    assert all(line.endswith(b"\n") for line in log.writes)


HOSTILE = (
    "".join(
        map(
            chr,
            [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)],
        )
    )
    + "\ud800"
)


@pytest.mark.parametrize("name", ["id", "destination", "r2_key", "message"])
def test_a_terminal_obeys_nothing_that_stands_in_a_line_whatever_field_it_stands_in(name: str) -> None:
    text = logged(evolve(FAILED, **{name: f"a{HOSTILE}b"}), "console")
    assert text.isascii()
    assert text.removesuffix("\n").isprintable()
    assert "\\x1b" in text
    assert "\\u202e" in text


def test_an_exception_cannot_forge_a_line_of_the_console_log() -> None:
    try:
        raise ValueError(f"first\n2026-01-01T00:00:00Z [info     ] forged{HOSTILE}")
    except ValueError as exc:
        text = logged(observations.UnexpectedError("testing", exc), "console")
    first, *others = text.removesuffix("\n").split("\n")
    assert first.isprintable()
    assert all(line.startswith("  | ") and line.isprintable() for line in others)
    assert any("forged" in line for line in others)
