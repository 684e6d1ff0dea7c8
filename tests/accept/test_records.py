"""Records as clients see them: pages that reach every record, and a bad `file_id` that is warmed anew once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from attrs import evolve

from streamwarm.accept.wire.record_fields import unquoted_etag
from streamwarm.backlog.core.record_operations import MOST_SUSPECTS
from streamwarm.backlog.records import RecordFilter
from streamwarm.backlog.settlement import Done
from streamwarm.model import Kind, Refresh, SeenObject, State
from streamwarm.warm_record import SourceState
from streamwarm.watch.observations import JobAdded
from streamwarm.watch.record_news import ReferenceReported, ReferencesSuspect
from tests.worlds.accept import World, job
from tests.worlds.accept_clients import open_both

NAMED = {"destination": "mybot", "kind": "video"}


async def warm(world: World, r2_key: str, file_id: str, **members: Any) -> dict[str, Any]:
    """Push the object and warm it, with the ETag that the push names."""
    [answer] = (await world.intake.push([job(r2_key, refresh="always", **members)]))["accepted"]
    [claim] = await world.store.claim([answer["id"]])
    etag = None if "source_etag" not in members else unquoted_etag(members["source_etag"])
    seen = SeenObject(r2_key, 10, etag, None, None)
    result = {"file_id": file_id, "kind": "video", "source_etag": etag}
    assert await world.store.settle([Done(claim.lease, result, seen)]) == [True]
    return answer


def path_of(r2_key: str) -> str:
    return f"/v1/media/mybot/video/{r2_key}"


async def test_pages_have_every_record_once_over_both_interfaces() -> None:
    keys = [*(f"a/{number:03}" for number in range(7)), "b/1", "b/ü\x01/%2F"]
    async with open_both() as (world, client, web):
        for number, key in enumerate(reversed(keys)):
            await warm(world, key, f"id-{number}")
        for read in (lambda **p: client.call("records", **p), lambda **p: page_over_http(web, **p)):
            found, after = [], None
            while True:
                page = await read(limit=2, **({} if after is None else {"after": after}))
                assert len(page["records"]) <= 2
                found += [record["r2_key"] for record in page["records"]]
                after = page["next"]
                if after is None:
                    break
            assert found == sorted(keys, key=str.encode)
        page = await page_over_http(web, prefix="b/", destination="mybot", kind="video")
        assert [record["r2_key"] for record in page["records"]] == ["b/1", "b/ü\x01/%2F"]
        assert (await client.call("records", kind="photo"))["records"] == []
        assert (await client.call("records", destination="nobody")) == {"records": [], "next": None}


async def page_over_http(web: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    answer = await web.get("/v1/media", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_a_record_says_its_version_its_account_and_how_it_stands_to_its_object() -> None:
    async with open_both() as (world, client, web):
        await warm(world, "a.mp4", "id-1", source_etag='W/"e1"', options={"caption": "hi"})
        record = await client.call("find", **NAMED, r2_key="a.mp4")
        assert (record["source_etag"], record["account"], record["options"]) == ("e1", "4242", {"caption": "hi"})
        assert record["source_state"] == "current"
        assert record["checked_at"] is not None
        assert (await web.get(path_of("a.mp4"))).json() == record
        [listed] = (await client.call("records"))["records"]
        assert listed == record


@pytest.mark.parametrize("after", ["x", "WzEsMiwzLDRd", "!", "W10", "", "=" * 9, "WyJcdWQ4MDAiLCIiLCIiLCIiXQ"])
async def test_a_place_that_no_page_named_is_refused(after: str) -> None:
    async with open_both() as (_, client, web):
        error = (await client.call("records", after=after))["error"]
        assert error["code"] == -32602
        assert "next" in error["message"]
        assert (await web.get("/v1/media", params={"after": after})).status_code == 400


@pytest.mark.parametrize(
    "params",
    [{"warning": "nonsense"}, {"source_state": "old"}, {"limit": 0}, {"limit": 501}, {"kind": "x"}, {"prefx": "a"}],
)
async def test_a_filter_that_means_nothing_is_refused_and_not_left_out(params: dict[str, Any]) -> None:
    async with open_both() as (_, client, web):
        assert (await client.call("records", **params))["error"]["code"] == -32602
        assert (await web.get("/v1/media", params=params)).status_code == 400


async def test_a_push_names_the_version_it_saw_and_what_a_record_means_to_it() -> None:
    async with open_both() as (world, client, _):
        await warm(world, "a.mp4", "id-1", source_etag="e1")

        async def push(**members: Any) -> tuple[str, bool]:
            [answer] = (await client.call("push", jobs=[job("a.mp4", **members)]))["accepted"]
            return answer["state"], answer["duplicate"]

        for etag in ("e1", '"e1"', 'W/"e1"'):
            assert await push(source_etag=etag) == ("done", True)
        assert await push(source_etag="e2", refresh="never") == ("done", True)
        assert await push(source_etag="e2") == ("queued", False)
        refused = await client.call("push", jobs=[job(refresh="often"), job(source_etag='""'), job(source_etag=5)])
        assert [item["code"] for item in refused["rejected"]] == ["invalid_job"] * 3
        assert "never, if_changed, always" in refused["rejected"][0]["message"]


async def test_neither_the_version_nor_refresh_is_part_of_what_an_id_compares() -> None:
    async with open_both() as (_, client, _):
        first = (await client.call("push", jobs=[job(id="x", source_etag="e1")]))["accepted"]
        second = (await client.call("push", jobs=[job(id="x", source_etag="e2", refresh=Refresh.NEVER)]))["accepted"]
        assert (first[0]["id"], second[0]["duplicate"]) == (second[0]["id"], True)


async def test_a_bad_file_id_is_warmed_anew_and_no_longer_answered() -> None:
    async with open_both() as (world, client, web):
        await warm(world, "a/b.mp4", "id-1")
        world.wakes.clear()
        answer = await client.call("invalid", **NAMED, r2_key="a/b.mp4", file_id="id-1", error="wrong file identifier")
        assert answer["requeued"] is True
        assert answer["job"]["state"] == "queued"
        assert len(world.wakes) == 1  # offered to the dispatcher like a push's
        assert (await web.get(path_of("a/b.mp4"))).status_code == 404
        [seen] = world.saw(ReferenceReported)
        assert (seen.job_id, seen.error) == (answer["job"]["id"], "wrong file identifier")
        assert answer["job"]["id"] in [added.id for added in world.saw(JobAdded)]


async def test_a_report_over_http_reaches_the_object_that_its_path_names() -> None:
    async with open_both() as (world, _, web):
        for key in ("a/b", "a%2Fb", "invalid", "a/b/invalid"):
            await warm(world, key, f"id-of-{key.replace('/', '-')}")
        for path in ("a/b", "a%252Fb", "invalid", "a%2Fb%2Finvalid", "a/b/invalid"):
            assert (await web.get(path_of(path))).status_code == 200
        for path, key in [("a/b", "a/b"), ("a%252Fb", "a%2Fb"), ("invalid", "invalid"), ("a/b/invalid", "a/b/invalid")]:
            body = {"file_id": f"id-of-{key.replace('/', '-')}"}
            answer = await web.post(f"{path_of(path)}/invalid", json=body)
            assert (answer.status_code, answer.json()["requeued"]) == (200, True)
            assert answer.json()["job"]["r2_key"] == key


async def test_a_report_of_a_record_that_was_replaced_a_moment_ago_changes_nothing() -> None:
    async with open_both() as (world, client, web):
        await warm(world, "a.mp4", "id-1")
        await warm(world, "a.mp4", "id-2", source_etag="e2")
        for answer in (
            await client.call("invalid", **NAMED, r2_key="a.mp4", file_id="id-1"),
            (await web.post(f"{path_of('a.mp4')}/invalid", json={"file_id": "id-1"})).json(),
        ):
            assert answer["requeued"] is False
            assert answer["record"]["file_id"] == "id-2"  # what the sender may use at once
        assert (await client.call("find", **NAMED, r2_key="a.mp4"))["file_id"] == "id-2"


async def test_a_hundred_senders_at_once_cause_one_warming() -> None:
    async with open_both() as (world, _, web):
        await warm(world, "a.mp4", "id-1")
        jobs: list[str] = []

        async def report() -> None:
            answer = await web.post(f"{path_of('a.mp4')}/invalid", json={"file_id": "id-1"}, timeout=30)
            jobs.extend([answer.json()["job"]["id"]] if answer.json()["requeued"] else [])

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(report)
        assert len(set(jobs)) == 1
        counts = await world.store.counts()
        assert counts.by_state[State.QUEUED] == 1


async def test_a_destination_whose_references_all_go_bad_is_paused_for_everybody_until_a_resume() -> None:
    async with open_both() as (world, client, _):
        keys = [f"{number}.mp4" for number in range(MOST_SUSPECTS + 1)]
        for key in keys:
            await warm(world, key, f"id-{key}")
        for key in keys:
            await client.call("invalid", **NAMED, r2_key=key, file_id=f"id-{key}")
        [suspect] = world.saw(ReferencesSuspect)
        assert "resume the destination" in suspect.reason
        [set_aside] = world.set_aside  # what every process has read
        assert (set_aside.destination, set_aside.lane, set_aside.reason) == ("mybot", "", suspect.reason)
        assert all([(await client.call("find", **NAMED, r2_key=key)) for key in keys])  # they are answered again
        await client.call("resume", destination="mybot")
        assert world.set_aside == []


@pytest.mark.parametrize("file_id", [None, 5, "", "a b", "é", "x" * 1025])
async def test_a_report_without_a_file_id_is_refused(file_id: Any) -> None:
    async with open_both() as (world, client, web):
        await warm(world, "a.mp4", "id-1")
        assert (await client.call("invalid", **NAMED, r2_key="a.mp4", file_id=file_id))["error"]["code"] == -32602
        assert (await web.post(f"{path_of('a.mp4')}/invalid", json={"file_id": file_id})).status_code == 400
        assert (await web.get(path_of("a.mp4"))).status_code == 200


async def test_what_gives_no_file_ids_and_what_is_not_configured_can_have_no_bad_one() -> None:
    async with open_both() as (_, client, web):
        about = {"kind": "video", "r2_key": "a", "file_id": "x"}
        refused = (await client.call("invalid", **about, destination="bucket"))["error"]
        assert (refused["code"], "no file_ids" in refused["message"]) == (-32602, True)
        assert (await client.call("invalid", **about, destination="nobody"))["error"]["code"] == -32002
        assert (await web.post("/v1/media/nobody/video/a/invalid", json={"file_id": "x"})).status_code == 404
        assert (await web.post("/v1/media/bucket/video/a/invalid", json={"file_id": "x"})).status_code == 400


async def test_a_record_is_dropped_only_while_it_is_still_the_one_that_was_meant() -> None:
    async with open_both() as (world, client, web):
        await warm(world, "a.mp4", "id-2")
        assert await client.call("forget", **NAMED, r2_key="a.mp4", file_id="id-1") == {"forgotten": False}
        assert (await web.delete(path_of("a.mp4"), params={"file_id": "id-1"})).status_code == 404
        misspelt = await web.delete(path_of("a.mp4"), params={"fileid": "id-1"})
        assert (misspelt.status_code, "file_id" in misspelt.json()["detail"]) == (400, True)
        assert (await web.get(path_of("a.mp4"))).status_code == 200
        assert (await web.delete(path_of("a.mp4"), params={"file_id": "id-2"})).json() == {"forgotten": True}
        assert (await web.get(path_of("a.mp4"))).status_code == 404


async def test_pages_of_large_records_stay_below_a_megabyte_and_lose_none() -> None:
    async with open_both() as (world, client, _):
        options = {"caption": "x" * 16_000}
        [answer] = (await world.intake.push([job("0", options=options)]))["accepted"]
        [claim] = await world.store.claim([answer["id"]])
        await world.store.settle([Done(claim.lease, {"file_id": "id"}, SeenObject("0", 10, None, None, None))])
        [record] = (await world.store.records(RecordFilter(), limit=1)).records
        await world.store.import_records([evolve(record, r2_key=f"{number:03}") for number in range(150)])
        found, after = 0, None
        while True:
            page = await client.call("records", limit=500, **({} if after is None else {"after": after}))
            found, after = found + len(page["records"]), page["next"]
            assert page["records"]
            if after is None:
                break
        assert found == 151


async def test_records_by_source_state_are_those_that_were_compared_so() -> None:
    async with open_both() as (world, client, _):
        await warm(world, "a.mp4", "id-1")
        [record] = (await world.store.records(RecordFilter(), limit=1)).records
        gone = evolve(record, r2_key="b.mp4", source_state=SourceState.GONE, kind=Kind.VIDEO)
        await world.store.import_records([gone])
        assert [one["r2_key"] for one in (await client.call("records", source_state="gone"))["records"]] == ["b.mp4"]
