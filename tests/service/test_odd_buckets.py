"""What a user loses, from the command line to the destination, to a bucket that lists or labels objects oddly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h11
import pytest
import trio
from attrs import Factory, define

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.bucket_gate import BucketGate
from tests.worlds.command_line import Ended, cli
from tests.worlds.http_sink import Connection, HttpSink, serving
from tests.worlds.processes import write_config
from tests.worlds.scripted_bucket import ETAG, Asked, Rig, Script, answering, head, rig
from tests.worlds.service import World, running_service, settings_for

BODY = b"odd" * 1000


@define(eq=False)
class OddBucket:
    """Pages of a listing by the token that asks for them: the keys as they stand in the XML, and the next token. It
    gives every object that is asked for, with `headers`."""

    pages: dict[str, tuple[list[bytes], str]]
    headers: dict[str, str] = Factory(dict)

    async def answer(self, asked: Asked, stream: trio.SocketStream) -> None:
        target = asked.target.decode()
        if "list-type" in target:
            keys, then = self.pages[unquote(target.partition("continuation-token=")[2].partition("&")[0])]
            items = b"".join(b"<Contents><Key>%s</Key><Size>%d</Size></Contents>" % (key, len(BODY)) for key in keys)
            more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{then}</NextContinuationToken>".encode()
            page = b"<ListBucketResult>" + items + (more if then else b"") + b"</ListBucketResult>"
            await answering(200, page)(asked, stream)
        elif asked.method == "HEAD":
            await stream.send_all(head(200, content_length=len(BODY), etag=ETAG, **self.headers))
        else:
            await answering(200, BODY, etag=ETAG, **self.headers)(asked, stream)


@define(eq=False)
class Library:
    """A service that copies from an odd bucket to an endpoint, and a command line beside it."""

    world: World
    bucket: Rig
    sink: HttpSink
    config: Path

    async def push(self, prefix: str) -> Ended:
        reach = ("--config", str(self.config), "--url", self.world.endpoints.websocket)
        return await cli("push", "--prefix", prefix, "--kind", "document", "--json", *reach)

    @property
    def delivered(self) -> dict[str, bytes]:
        return {unquote(one.target.removeprefix("/up/")): one.body for one in self.sink.received}


@asynccontextmanager
async def library(script: Script, folder: Path) -> AsyncIterator[Library]:
    sink = HttpSink()
    async with rig(script) as bucket, serving(sink):
        store = ObjectStore(bucket.endpoint_url, "media", "access-id", "secret-access-key")
        table: dict[str, Any] = {"type": "http", "url": f"http://127.0.0.1:{sink.port}/up/{{r2_key}}"}
        tables = {"cdn": {**table, "allow_private": True}}
        async with running_service(settings_for(store, folder / "s.db", tables)) as world:
            yield Library(world, bucket, sink, write_config(folder, store, tables))


@pytest.mark.parametrize("tokens", ["A", "AB", "ABC", "AAB"])
async def test_a_push_of_a_prefix_whose_pages_go_in_circles_ends_and_says_so(tokens: str, tmp_path: Path) -> None:
    circle = list(tokens)
    pages = 0

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        nonlocal pages
        if b"list-type" in asked.target:
            pages += 1
        key = f"a/{pages % len(circle)}.bin".encode()
        token = circle[pages % len(circle)] if pages < 50 else ""  # else the command would never end
        await OddBucket({each: ([key], token) for each in ("", *circle)}).answer(asked, stream)

    async with library(script, tmp_path) as odd:
        with trio.fail_after(30):
            ended = await odd.push("a/")
        assert ended.code == 1
        assert "repeats its pages" in ended.err
        assert "Traceback" not in ended.err
        assert pages <= 4 * len(tokens) + 4


CONTROL = {
    "raw": (b"a/b\x01c.bin", "a/b\x01c.bin"),
    "reference": (b"a/b&#x1b;c.bin", "a/b\x1bc.bin"),
    "bell": (b"a/b\x07c.bin", "a/b\x07c.bin"),
    "ampersand": (b"a/b & c.bin", "a/b & c.bin"),
    "line": (b"a/b&#13;&#10;c.bin", "a/b\r\nc.bin"),
}


@pytest.mark.parametrize("written", CONTROL)
async def test_one_key_with_a_control_character_costs_a_push_of_its_prefix_nothing(
    written: str, tmp_path: Path
) -> None:
    listed, key = CONTROL[written]
    bucket = OddBucket({"": ([b"a/1.bin", listed], "next"), "next": ([b"a/2.bin"], "")})
    async with library(bucket.answer, tmp_path) as odd:
        ended = await odd.push("a/")
        assert ended.code == 0, ended.err
        assert odd.delivered == dict.fromkeys(["a/1.bin", key, "a/2.bin"], BODY)


@pytest.mark.parametrize("listed", [b"a/b\x00c.bin", b"a/b\xff.bin", b"a/" + b"x" * 1100, b"a/b\xef\xbf\xbec.bin"])
async def test_a_listed_key_that_no_object_can_have_costs_itself_alone(listed: bytes, tmp_path: Path) -> None:
    bucket = OddBucket({"": ([b"a/1.bin", listed], "next"), "next": ([b"a/2.bin"], "")})
    async with library(bucket.answer, tmp_path) as odd:
        ended = await odd.push("a/")
        assert {"a/1.bin", "a/2.bin"} <= set(odd.delivered)
        assert len(ended.json()) == 3
        assert "Traceback" not in ended.err


@define(eq=False)
class StrictBucket(BucketGate):
    """Refuses what is to be stored with an encoding of the transfer, as some servers do."""

    encodings: list[str] = Factory(list)

    async def _pass_on(
        self, request: h11.Request, connection: Connection, behind: trio.abc.Stream
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        sent = dict(request.headers).get(b"content-encoding", b"").decode()
        if request.method in {b"PUT", b"POST"}:
            self.encodings.append(sent)
        self.shut = (400, "InvalidArgument") if "aws-chunked" in sent.lower() else None
        return await super()._pass_on(request, connection, behind)


@pytest.mark.parametrize("size", ["one-request", "parts"])
@pytest.mark.parametrize(
    ("stored", "passed_on"),
    [("aws-chunked", ""), ("AWS-Chunked", ""), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked", "gzip")],
)
async def test_how_an_upload_travelled_does_not_stop_its_copy_into_a_strict_bucket(
    stored: str, passed_on: str, size: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    body = BODY if size == "one-request" else bytes(6 << 20)

    async def script(asked: Asked, stream: trio.SocketStream) -> None:
        await answering(200, body, etag=ETAG, content_encoding=stored)(asked, stream)

    strict = StrictBucket(int(object_store.endpoint_url.rpartition(":")[2]))
    async with rig(script) as bucket, serving(strict):
        table = {
            "type": "s3",
            "endpoint_url": f"http://127.0.0.1:{strict.port}",
            "bucket": object_store.bucket,
            "access_key_id": object_store.access_key_id,
            "secret_access_key": object_store.secret_access_key,
            "part_bytes": 5 << 20,
        }
        source = ObjectStore(bucket.endpoint_url, "media", "access-id", "secret-access-key")
        async with running_service(settings_for(source, tmp_path / "s.db", {"copies": table})) as world:
            job = {"destination": "copies", "kind": "document", "r2_key": f"strict/{size}{stored}.bin"}
            [accepted] = (await world.push(job))["accepted"]
            ended = await world.outcome(accepted["id"])
    assert (ended["state"], ended["attempt"]) == ("done", 1)
    assert passed_on in strict.encodings
    assert not any("aws-chunked" in sent.lower() for sent in strict.encodings)
