"""What `find` and `media import` owe their users besides the plain case: a stale record is said, and a file of any size
and shape takes bounded memory."""

from __future__ import annotations

import json
import os
import time
from io import BytesIO
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from streamwarm.accept.wire.record_requests import ImportRecords
from streamwarm.backlog.records import RecordFilter
from streamwarm.cli.bulk import Counter
from streamwarm.cli.client import CallError
from streamwarm.cli.media_import import BATCH_RECORDS, MAX_LINE_BYTES, Total, import_lines, read_lines
from streamwarm.cli.record_text import age_line, spelled
from streamwarm.warm_record import SourceState
from tests.worlds.accept import World, open_http_service, open_world
from tests.worlds.command_line import cli

LINE = b'{"destination": "mybot", "kind": "video", "r2_key": "media/%d.mp4", "file_id": "BAACAgIAAx0"}\n'


@define
class Table:
    """A file of `count` lines that exists only as it is read."""

    count: int
    read: int = 0

    def readline(self, size: int) -> bytes:
        assert size <= MAX_LINE_BYTES + 1  # else an endless line would be read whole
        if self.read == self.count:
            return b""
        self.read += 1
        return LINE % self.read


@define
class Service:
    """Counts what it is given. It refuses a call with a record that has `poison` in its key, as a parser would."""

    table: Table
    received: int = 0
    most_waiting: int = 0
    calls: int = 0
    keys: list[str] = field(factory=list)

    async def call(self, method: str, params: Any) -> Any:
        assert method == "import"
        await trio.lowlevel.checkpoint()
        self.calls += 1
        records = params["records"]
        assert len(json.dumps(params)) < 1 << 20
        if any("poison" in record["r2_key"] for record in records):
            raise CallError(-32700, "the message is not valid JSON", {})
        self.received += len(records)
        self.most_waiting = max(self.most_waiting, self.table.read - self.received + len(records))
        return {"imported": len(records), "refused": []}


async def test_a_long_table_is_imported_without_being_held() -> None:
    """A hundred thousand lines here; what waits does not grow with their number, so a million take no more."""
    table = Table(100_000)
    service, total = Service(table), Total(False, Counter())
    await import_lines(service, read_lines(table), {}, replace=False, total=total)  # type: ignore[arg-type]
    assert (service.received, total.imported, total.refused) == (100_000, 100_000, 0)
    assert service.most_waiting <= 2 * BATCH_RECORDS


def test_a_line_without_end_is_refused_and_the_next_one_read() -> None:
    file = BytesIO(b'{"a": "' + b"x" * (3 * MAX_LINE_BYTES) + b'"}\n' + LINE % 1)
    long, good = read_lines(file)
    assert (long.number, long.record, "longer than" in str(long.why_not)) == (1, None, True)
    assert (good.number, good.record["r2_key"]) == (2, "media/1.mp4")


@pytest.mark.parametrize("length", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_no_line_at_the_bound_loses_its_neighbour(length: int, end: bytes) -> None:
    found = list(read_lines(BytesIO(b" " * (length - 2) + b"{}" + b"\n" + LINE % 1 + b"x" * length + end)))
    assert [line.number for line in found] == [1, 2, 3]
    assert found[1].record["r2_key"] == "media/1.mp4"


async def test_one_line_that_spoils_a_call_costs_no_other_line_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    text = b"".join(LINE % number for number in range(40)).replace(b"media/17", b"poison")
    service, total = Service(Table(0)), Total(False, Counter())
    await import_lines(service, read_lines(BytesIO(text)), {}, replace=False, total=total)
    assert (total.imported, total.refused) == (39, 1)
    assert capsys.readouterr().err.startswith("line 18: ")


def test_the_age_of_a_record_is_said_in_words() -> None:
    record = {"source_state": "current", "warmed_at": "2026-01-01T00:00:00.000Z", "checked_at": None}
    at = 1767225600.0
    assert age_line(record, at + 3 * 86_400) == "current; warmed 3 d ago, never compared with the bucket"
    changed = {**record, "source_state": "changed", "checked_at": "2026-01-01T01:00:00.000Z"}
    assert age_line(changed, at + 3_700).startswith("CHANGED")
    assert age_line(changed, at + 3_700).endswith("warmed 62 min ago, compared 100 s ago")
    assert "warmed 0 s ago" in age_line(record, at - 50)  # another host's clock


def test_what_telegram_answered_is_shown_without_brackets_and_quotes() -> None:
    media = {"width": 480, "height": 852, "file_name": "last.mp4", "has_thumbnail": False, "duration": None}
    assert spelled(media) == "width 480, height 852, file_name last.mp4, has_thumbnail no"
    assert spelled(["index_at_end", "other_kind"]) == "index_at_end, other_kind"
    assert spelled({"media": {"width": 1}, "warnings": [], "bytes": 0, "kind": "video"}) == (
        "media (width 1), bytes 0, kind video"
    )


async def put(world: World, r2_key: str, state: SourceState) -> None:
    record = {"destination": "mybot", "kind": "video", "r2_key": "first", "file_id": "BAAC-1"}
    await world.intake.records.import_records(ImportRecords([record]))
    [stored] = (await world.store.records(RecordFilter(prefix="first"), limit=1)).records
    await world.store.import_records([evolve(stored, r2_key=r2_key, source_state=state, checked_at=time.time())])


async def test_a_script_gets_the_reference_alone_and_is_warned_of_a_stale_one() -> None:
    async with open_world() as world:
        for state in SourceState:
            await put(world, f"{state}.mp4", state)
        async with open_http_service(world) as url:
            found = {
                state: await cli("find", "--http-url", url, "mybot", "video", f"{state}.mp4") for state in SourceState
            }
        assert {ended.out for ended in found.values()} == {"BAAC-1\n"}
        assert found[SourceState.CURRENT].err == ""
        assert "another version" in found[SourceState.CHANGED].err
        assert "no such object" in found[SourceState.GONE].err


@pytest.mark.parametrize("file", ["no/such/folder/x.jsonl", "."])
async def test_an_export_that_cannot_be_written_says_so(file: str) -> None:
    async with open_world() as world, open_http_service(world) as url:
        ended = await cli("media", "export", "--http-url", url, file)
        assert (ended.code, "cannot be written" in ended.err) == (2, True)


async def test_an_export_that_breaks_off_leaves_no_file_that_looks_whole(tmp_path: Any) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text("as before\n", encoding="utf-8")
    ended = await cli("media", "export", "--http-url", "http://127.0.0.1:9", str(file))
    assert ended.code == 3
    assert file.read_text(encoding="utf-8") == "as before\n"
    assert os.listdir(tmp_path) == ["records.jsonl"]
