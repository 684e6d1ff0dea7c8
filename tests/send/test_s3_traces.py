"""Whose multipart uploads are aborted, and whose are not (fault 16)."""

from __future__ import annotations

from pathlib import Path

import trio

from streamwarm.backlog.settlement import Done
from streamwarm.model import Kind, NewJob, State
from streamwarm.s3.bounds import TRACES
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.send.s3.answers import Trace, read_upload_id
from tests.worlds.destinations import DestinationWorld, s3_bucket, size_of
from tests.worlds.stream import content

JOB = NewJob("backup", Kind.VIDEO, "media/a.mp4")
BODY = content(size_of("s3-multipart"))


async def begin(p: DestinationWorld, job_id: str, key: str, *, noted: bool = True) -> str:
    """What an attempt leaves that dies in the middle of an upload. Returns the upload's id."""
    client = p.destination._client  # type: ignore[attr-defined]
    begun = await client.ask("POST", key, query=(("uploads", ""),))
    upload_id = read_upload_id(begun.body)
    if noted:
        multipart = p.destination._multipart  # type: ignore[attr-defined]
        await client.ask(
            "PUT", multipart.folder(job_id) + multipart.new_token(), body=Trace(job_id, key, upload_id).to_json()
        )
    return upload_id


async def uploads(p: DestinationWorld) -> str:
    client = p.destination._client  # type: ignore[attr-defined]
    return str((await client.ask("GET", query=(("uploads", ""),))).body.decode())


async def test_a_start_aborts_our_dead_uploads_and_nobody_elses(object_store: ObjectStore, tmp_path: Path) -> None:
    states = {"failed": State.FAILED, "queued": State.QUEUED, "running": State.RUNNING}
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        key = p.destination._key.render(JOB)  # type: ignore[attr-defined]
        begun = {name: await begin(p, name, key) for name in [*states, "of-another-store"]}
        begun["unnoted"] = await begin(p, "x", key, noted=False)

        async def state_of(job_id: str) -> State | None:
            await trio.lowlevel.checkpoint()
            return states.get(job_id)

        await p.destination.sweep(state_of)  # type: ignore[attr-defined]
        left = await uploads(p)
        assert {name for name, upload_id in begun.items() if upload_id in left} == {
            "running",
            "of-another-store",
            "unnoted",
        }
        await clean_up(p, begun)


async def test_the_next_attempt_aborts_what_the_last_one_of_its_job_left(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        key = p.destination._key.render(JOB)  # type: ignore[attr-defined]
        begun = {"mine": await begin(p, "job-1", key), "other": await begin(p, "job-1/x", key)}
        assert isinstance((await p.work()).settlement, Done)
        left = await uploads(p)
        assert [name for name, upload_id in begun.items() if upload_id in left] == ["other"]
        await clean_up(p, begun)


async def test_a_note_that_is_rubbish_stops_no_sweep(object_store: ObjectStore, tmp_path: Path) -> None:
    async with s3_bucket(object_store, tmp_path, BODY) as p:
        client = p.destination._client  # type: ignore[attr-defined]
        names = [f"{TRACES}tested/{index}" for index in range(5)]
        rubbish = (b"", b"[1]", b'{"job_id": 1}', b'{"job_id":"\\ud800","key":"k","upload_id":"u"}', b"\xff" * 2000)
        for name, body in zip(names, rubbish, strict=True):
            await client.ask("PUT", name, body=body)
        dead = await begin(p, "failed", p.destination._key.render(JOB))  # type: ignore[attr-defined]

        async def state_of(_: str) -> State | None:
            await trio.lowlevel.checkpoint()
            return State.FAILED

        await p.destination.sweep(state_of)  # type: ignore[attr-defined]
        assert dead not in await uploads(p)
        for name in names:
            await client.ask("DELETE", name)


async def clean_up(p: DestinationWorld, begun: dict[str, str]) -> None:
    """The bucket is shared by the whole session."""
    client = p.destination._client  # type: ignore[attr-defined]
    key = p.destination._key.render(JOB)  # type: ignore[attr-defined]
    for name, upload_id in begun.items():
        await client.ask("DELETE", key, query=(("uploadId", upload_id),))
        folder = p.destination._multipart.folder(name)  # type: ignore[attr-defined]
        listed = await client.ask("GET", query=(("list-type", "2"), ("prefix", folder)))
        for found in listed.body.decode().split("<Key>")[1:]:
            await client.ask("DELETE", found.partition("</Key>")[0])


def test_a_trace_survives_its_writing() -> None:
    trace = Trace('job "1"\n🎬', "a/b&c", "upload")
    assert Trace.from_json(trace.to_json()) == trace
