"""A bot's own table of references, brought in line by line: what is refused is said, and the rest is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamwarm.accept.wire.table import MAX_IMPORTED
from streamwarm.backlog.settlement import Done
from streamwarm.model import SeenObject
from streamwarm.watch.record_news import RecordsImported
from tests.worlds.accept import SECRET, job
from tests.worlds.accept_clients import Client, open_both

GOOD = {"destination": "mybot", "kind": "video", "r2_key": "a.mp4", "file_id": "BAACAgIAAx0"}
SHA256 = "ab" * 32


async def find(client: Client, r2_key: str = "a.mp4") -> dict[str, Any]:
    record: dict[str, Any] = await client.call("find", destination="mybot", kind="video", r2_key=r2_key)
    return record


async def test_four_columns_of_a_bots_table_are_enough_for_a_look_up() -> None:
    async with open_both() as (world, client, _):
        assert await client.call("import", records=[GOOD]) == {"imported": 1, "refused": []}
        record = await find(client)
        assert (record["file_id"], record["result"]["kind"], record["result"]["source"]) == (
            GOOD["file_id"],
            "video",
            "import",
        )
        assert (record["account"], record["checked_at"], record["bytes"]) == ("4242", None, None)
        assert world.saw(RecordsImported) == [RecordsImported(1, 0)]


async def test_what_the_table_knows_besides_is_kept() -> None:
    more = {
        "file_unique_id": "AgADx",
        "sha256": SHA256.upper(),
        "bytes": 7,
        "source_etag": 'W/"e1"',
        "options": {"caption": "hi"},
        "warmed_at": "2026-01-02T03:04:05Z",
        "account": "4242",
    }
    async with open_both() as (_, client, web):
        answer = await web.post("/v1/media/import", json={"records": [{**GOOD, **more}]})
        assert answer.json() == {"imported": 1, "refused": []}
        record = await find(client)
        assert record["warmed_at"] == "2026-01-02T03:04:05.000Z"
        assert (record["sha256"], record["bytes"], record["source_etag"]) == (SHA256, 7, "e1")
        assert (record["file_unique_id"], record["options"]) == ("AgADx", {"caption": "hi"})
        by_digest = await client.call("find", destination="mybot", kind="video", sha256=SHA256)
        assert by_digest == record


REFUSED: list[tuple[Any, str]] = [
    (5, "must be an object"),
    (None, "must be an object"),
    ({}, "destination is missing"),
    ({**GOOD, "destination": "nobody"}, "configured: bucket, mybot"),
    ({**GOOD, "kind": "movie"}, "allowed: photo, video"),
    ({**GOOD, "kind": None}, "kind"),
    ({**GOOD, "r2_key": ""}, "r2_key"),
    ({**GOOD, "r2_key": "a\0b"}, "NUL"),
    ({**GOOD, "r2_key": "é" * 513}, "1024 bytes"),
    ({**GOOD, "r2_key": "\ud800"}, "surrogate"),
    ({**GOOD, "r2_key": ["a"]}, "r2_key"),
    ({**GOOD, "file_id": None}, "file_id is missing"),
    ({**GOOD, "file_id": 17}, "file_id must be text"),
    ({**GOOD, "file_id": "x" * 1025}, "1024"),
    ({**GOOD, "file_id": "with space"}, "spaces"),
    ({**GOOD, "file_id": "line\nbreak"}, "printable"),
    ({**GOOD, "sha256": "abc"}, "64 hexadecimal"),
    ({**GOOD, "bytes": -1}, "bytes"),
    ({**GOOD, "bytes": "7"}, "bytes"),
    ({**GOOD, "source_etag": '""'}, "ETag"),
    ({**GOOD, "options": {"volume": 11}}, "allowed: caption"),
    ({**GOOD, "options": []}, "options"),
    ({**GOOD, "warmed_at": "yesterday"}, "RFC 3339"),
    ({**GOOD, "warmed_at": 4102444800}, "in the future"),
    ({**GOOD, "account": "5151"}, "'5151' is not that of mybot ('4242')"),
    ({**GOOD, "fileid": "x"}, "unknown key 'fileid'"),
    ({**GOOD, "result": {"file_id": "another"}}, "another than that in result"),
    ({**GOOD, "file_id": None, "result": {"file_id": 5}}, "result.file_id"),
    ({**GOOD, "result": {"kind": 5}}, "must be text"),
    ({**GOOD, "result": {"note": "x" * 20_000}}, "16384 bytes"),
    ({**GOOD, "options": {"caption": SECRET}}, "secret"),
    ({**GOOD, "file_id": SECRET}, "secret"),
    ({**GOOD, "destination": "bucket"}, "gives no file_ids"),
    ({"destination": "bucket", "kind": "video", "r2_key": "a"}, "result is missing"),
]


@pytest.mark.parametrize(("line", "why"), REFUSED, ids=[why for _, why in REFUSED])
async def test_a_line_that_cannot_be_a_record_is_refused_with_its_reason_and_the_others_are_stored(
    line: Any, why: str
) -> None:
    async with open_both() as (_, client, web):
        before, after = {**GOOD, "r2_key": "before"}, {**GOOD, "r2_key": "after"}
        answer = await web.post(
            "/v1/media/import",
            content=json.dumps({"records": [before, line, after]}),
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 200, answer.text
        [refused] = answer.json()["refused"]
        assert (answer.json()["imported"], refused["index"]) == (2, 1)
        assert why in refused["message"]
        assert SECRET not in answer.text
        for key in ("before", "after"):
            assert (await find(client, key))["file_id"] == GOOD["file_id"]


async def test_an_import_replaces_no_record_of_the_services_own_unless_it_is_told_to() -> None:
    async with open_both() as (world, client, _):
        [answer] = (await world.intake.push([job("a.mp4")]))["accepted"]
        [claim] = await world.store.claim([answer["id"]])
        own = {"file_id": "own", "kind": "video", "source": "stream"}
        await world.store.settle([Done(claim.lease, own, SeenObject("a.mp4", 10, "e1", None, SHA256))])
        refused = (await client.call("import", records=[GOOD]))["refused"]
        assert "replace" in refused[0]["message"]
        assert (await find(client))["file_id"] == "own"
        # The same reference is no other record: what the service knows of it stays.
        assert (await client.call("import", records=[{**GOOD, "file_id": "own"}]))["imported"] == 1
        assert (await find(client))["source_etag"] == "e1"
        assert (await client.call("import", records=[GOOD], replace=True)) == {"imported": 1, "refused": []}
        assert (await find(client))["file_id"] == GOOD["file_id"]


async def test_of_two_lines_of_one_object_the_later_one_counts() -> None:
    async with open_both() as (_, client, _web):
        twice = [GOOD, {**GOOD, "file_id": "later"}]
        assert (await client.call("import", records=twice))["imported"] == 2
        assert (await find(client))["file_id"] == "later"


async def test_what_was_found_or_listed_can_be_imported_as_it_is() -> None:
    async with open_both() as (world, client, _):
        [answer] = (await world.intake.push([job("a.mp4", options={"caption": "é"})]))["accepted"]
        [claim] = await world.store.claim([answer["id"]])
        result = {"file_id": "own", "file_unique_id": "u", "kind": "animation", "chat_id": -1, "source": "stream"}
        await world.store.settle([Done(claim.lease, result, SeenObject("a.mp4", 10, "e1", None, SHA256))])
        line = await find(client)
        async with open_both() as (_, other, _):
            assert await other.call("import", records=[line]) == {"imported": 1, "refused": []}
            copy = await find(other)
        assert copy["result"] == {
            **line["result"],
            "sha256": SHA256,
            "bytes": 10,
            "source_etag": "e1",
            "source": "import",
        }
        same = ("file_id", "chat_id", "kind", "sha256", "bytes", "source_etag", "account", "options", "warmed_at")
        assert {name: copy[name] for name in same} == {name: line[name] for name in same}


async def test_a_destination_without_file_ids_takes_what_it_answered() -> None:
    line = {"destination": "bucket", "kind": "document", "r2_key": "a", "result": {"etag": "e", "key": "a"}}
    async with open_both() as (_, client, _web):
        assert (await client.call("import", records=[line]))["imported"] == 1
        record = await client.call("find", destination="bucket", kind="document", r2_key="a")
        assert (record["etag"], record["source"]) == ("e", "import")


async def test_a_batch_has_an_end() -> None:
    async with open_both() as (_, client, _web):
        records = [{} for _ in range(MAX_IMPORTED + 1)]
        error = (await client.call("import", records=records))["error"]
        assert (error["code"], str(MAX_IMPORTED) in error["message"]) == (-32602, True)
        answer = await client.call("import", records=records[1:])
        assert (answer["imported"], len(answer["refused"])) == (0, MAX_IMPORTED)
        assert await client.call("import", records=[]) == {"imported": 0, "refused": []}
