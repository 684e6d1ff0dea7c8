"""`streamwarm media …` against a running service: what an operator sees of records, brings in, checks and drops."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from streamwarm.cli.media_import import MAX_LINE_BYTES
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.operator import Operator, operating
from tests.worlds.service import TOKEN, put

WAYS = pytest.mark.parametrize("way", ["--url", "--http-url"])
BOT = TOKEN.partition(":")[0]


async def warm(op: Operator, store: ObjectStore, *keys: str) -> None:
    await put(store, {key: key.encode() for key in keys})
    jobs = [{"destination": "mybot", "kind": "document", "r2_key": key} for key in keys]
    answer = await op.world.push(*jobs)
    assert all(job["state"] == "done" for job in await op.world.outcomes([one["id"] for one in answer["accepted"]]))


async def reference(op: Operator, key: str) -> str:
    return (await cli("find", *op.reach, "mybot", "document", key)).out.strip()


def lines(*records: Any) -> str:
    return "".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records)


def row(key: str, file_id: str = "BAACAgIAAx0", **more: Any) -> dict[str, Any]:
    return {"destination": "mybot", "kind": "document", "r2_key": key, "file_id": file_id} | more


@WAYS
async def test_an_operator_lists_shows_and_drops_records(object_store: ObjectStore, tmp_path: Path, way: str) -> None:
    async with operating(object_store, tmp_path, way) as op:
        await warm(op, object_store, "list/a", "list/b", "list/ü %2F")
        listed = await cli("media", "list", *op.reach, "--prefix", "list/")
        rows = [line.split("\t") for line in listed.out.splitlines()]
        assert [cells[2] for cells in rows] == ["list/a", "list/b", "list/ü %2F"]
        assert rows[0][6] == await reference(op, "list/a")
        assert (await cli("media", "list", *op.reach, "--state", "gone")).out == ""
        few = await cli("media", "list", *op.reach, "-n", "2", "--prefix", "list/", "--json")
        assert [one["r2_key"] for one in few.json()] == ["list/a", "list/b"]
        shown = (await cli("media", "show", *op.reach, "mybot", "document", "list/ü %2F")).out
        assert f"account: {BOT}" in shown
        assert "current; warmed" in shown
        assert f"file_id: {await reference(op, 'list/ü %2F')}" in shown
        for arguments in (["--file-id", "another"], []):
            before = await cli("media", "forget", *op.reach, "mybot", "document", "list/a", *arguments)
            assert before.code == (1 if arguments else 0), before.err
        again = await cli("media", "forget", *op.reach, "mybot", "document", "list/a")
        assert (again.code, "is not warm" in again.err) == (1, True)
        assert (await cli("find", *op.reach, "mybot", "document", "list/a")).code == 1
        assert (await cli("find", *op.reach, "mybot", "document", "list/b")).code == 0
        unknown = await cli("media", "forget", *op.reach, "nobody", "document", "list/b")
        assert (unknown.code, "the service has: mybot" in unknown.err) == (1, True)


@WAYS
async def test_an_export_is_imported_elsewhere_with_all_that_a_bot_needs(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    file = tmp_path / "records.jsonl"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with operating(object_store, tmp_path / "one", way) as op:
        await warm(op, object_store, "export/a", "export/b")
        exported = await cli("media", "export", *op.reach, str(file), "--prefix", "export/")
        assert (exported.code, exported.out, exported.err) == (0, "", "exported 2 records\n")
        piped = await cli("media", "export", *op.reach, "--prefix", "export/")
        assert piped.out == file.read_text(encoding="utf-8")
        # Back into the same store nothing is refused, and nothing changes.
        record = (await cli("find", *op.reach, "mybot", "document", "export/a", "--json")).json()
        same = await cli("media", "import", *op.reach, str(file))
        assert (same.code, same.out) == (0, "imported 2 of 2 records\n")
        assert (await cli("find", *op.reach, "mybot", "document", "export/a", "--json")).json() == record
    async with operating(object_store, tmp_path / "two", way) as op:
        assert (await cli("media", "import", *op.reach, "-", stdin=file.read_text(encoding="utf-8"))).code == 0
        [copy] = (await cli("find", *op.reach, "mybot", "document", "export/a", "--json")).json()
        kept = ("file_id", "sha256", "bytes", "account", "options", "warmed_at", "file_unique_id")
        assert {name: copy[name] for name in kept} == {name: record[0][name] for name in kept}
        assert copy["source_etag"] == record[0]["source_etag"].strip('"')
        assert copy["source"] == "import"
        again = (await cli("media", "export", *op.reach, "--prefix", "export/")).out
        assert [json.loads(line)["file_id"] for line in again.splitlines()] == [
            json.loads(line)["file_id"] for line in file.read_text(encoding="utf-8").splitlines()
        ]


@WAYS
async def test_an_import_says_which_lines_it_refused_and_stores_the_rest(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    deep = "[" * 31 + "]" * 31
    bad = [
        "{not json",
        "5",
        '{"destination": NaN}',
        f'{{"destination": "mybot", "options": {deep}}}',
        lines(row("a\0b")).strip(),
        lines(row("x", account="5151")).strip(),
        lines(row("x", file_id="")).strip(),
        lines(row("é" * 600)).strip(),
        '{"r2_key": "' + "x" * MAX_LINE_BYTES + '"}',
        '{"a": 1, "a": 2}',
        "\udc00",  # no UTF-8
    ]
    text = b"".join(f"{line}\n".encode("utf-8", "surrogatepass") for line in ["", lines(row("first")).strip(), *bad])
    file = tmp_path / "table.jsonl"
    file.write_bytes(b"\xef\xbb\xbf\n" + text + lines(row("last")).encode().rstrip(b"\n"))
    async with operating(object_store, tmp_path, way) as op:
        ended = await cli("media", "import", *op.reach, str(file))
        assert (ended.code, ended.out) == (1, f"imported 2 of {2 + len(bad)} records\n")
        said = [line.partition(": ") for line in ended.err.splitlines()]
        assert [number for number, _, _ in said] == [f"line {4 + index}" for index in range(len(bad))]
        assert all(why for _, _, why in said)
        assert "5151" in ended.err
        for key in ("first", "last"):
            assert await reference(op, key) == "BAACAgIAAx0"
        as_json = (await cli("media", "import", *op.reach, str(file), "--json")).json()
        assert (as_json[0]["line"], as_json[-1]) == (4, {"imported": 2, "refused": len(bad)})


async def test_lines_may_leave_out_what_an_option_names(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        line = '{"r2_key": "short", "file_id": "BAAC"}\n'
        short = await cli("media", "import", *op.reach, "-", "-d", "mybot", "-k", "document", stdin=line)
        assert short.code == 0, short.err
        assert await reference(op, "short") == "BAAC"
        missing = await cli("media", "import", *op.reach, str(tmp_path / "none.jsonl"))
        assert (missing.code, "none.jsonl cannot be read" in missing.err) == (2, True)


@WAYS
async def test_references_that_the_bot_cannot_use_any_more_are_found(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    async with operating(object_store, tmp_path, way) as op:
        await warm(op, object_store, "verify/a", "verify/b")
        large = row("verify/large", await reference(op, "verify/a"), result={"bytes": 30_000_000})
        await cli("media", "import", *op.reach, "-", stdin=lines(row("verify/bad", "BAAC-of-nobody"), large))
        ended = await cli("media", "verify", *op.reach, "--prefix", "verify/")
        assert ended.code == 1
        rows = [line.split("\t") for line in ended.out.splitlines()]
        assert [(cells[0], cells[2]) for cells in rows] == [("bad", "verify/bad"), ("unproven", "verify/large")]
        assert "20 MB" in rows[1][3]
        assert "2 good, 1 bad, 1 unproven" in ended.err
        assert TOKEN not in ended.out + ended.err
        assert (await cli("media", "verify", *op.reach, "mybot", "--prefix", "verify/a")).code == 0
        nobody = await cli("media", "verify", *op.reach, "nobody")
        assert (nobody.code, "the service has: mybot" in nobody.err) == (2, True)


@WAYS
async def test_a_push_names_what_a_record_means_and_options_for_every_job(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    async with operating(object_store, tmp_path, way) as op:
        await warm(op, object_store, "push/a")
        before = await reference(op, "push/a")
        await put(object_store, {"push/a": b"another version"})
        never = await cli("push", *op.reach, "push/a", "-k", "document", "--refresh", "never", "--json")
        assert never.json()[0]["duplicate"] is True
        assert await reference(op, "push/a") == before
        anew = await cli(
            "push", *op.reach, "push/a", "-k", "document", "--refresh", "always", "--option", "caption=a=b", "--json"
        )
        assert anew.code == 0, anew.err
        assert await reference(op, "push/a") != before
        [record] = (await cli("find", *op.reach, "mybot", "document", "push/a", "--json")).json()
        assert record["options"] == {"caption": "a=b"}
        wrong = await cli("push", *op.reach, "push/b", "--option", "caption")
        assert (wrong.code, "NAME=VALUE" in wrong.err) == (2, True)


async def test_forgetting_done_jobs_asks_a_person_and_not_a_script(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        await warm(op, object_store, "forget/a")
        refused = await at_a_terminal("n\n", "jobs", "forget", *op.reach, "--state", "done")
        assert refused[0] == 1
        assert "drops the warm records of up to" in refused[1]
        assert (await cli("find", *op.reach, "mybot", "document", "forget/a")).code == 0
        code, said = await at_a_terminal("", "jobs", "forget", *op.reach, "--all")
        assert (code, "Go on?" in said) == (0, False)  # nothing warm is dropped by this
        code, _ = await at_a_terminal("y\n", "jobs", "forget", *op.reach, "--state", "done")
        assert code == 0
        assert (await cli("find", *op.reach, "mybot", "document", "forget/a")).code == 1
        await warm(op, object_store, "forget/b")
        code, said = await at_a_terminal("", "jobs", "forget", *op.reach, "--state", "done", "--yes")
        assert (code, "Go on?" in said) == (0, False)
        await warm(op, object_store, "forget/c")
        piped = await cli("jobs", "forget", *op.reach, "--state", "done")
        assert (piped.code, "forgot" in piped.out) == (0, True)
        again = await cli("jobs", "forget", *op.reach, "--state", "done")
        assert "forgot 0 of 3 jobs" in again.out
        assert "their record is dropped already" in again.err


async def at_a_terminal(typed: str, *arguments: str) -> tuple[int, str]:
    """Run a command at a terminal of its own. Returns its exit code and what was to be seen."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "streamwarm", *arguments]
    os.write(ours, typed.encode())
    run = await trio.run_process(
        command, stdin=theirs, stdout=theirs, stderr=theirs, check=False, env={**os.environ, "COLUMNS": "200"}
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    return run.returncode, " ".join(seen.decode().split())
