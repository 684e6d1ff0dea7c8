"""A canary in every secret setting, echoed by every peer in every coding, is found in nothing that is written."""

from __future__ import annotations

import base64
import html
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h11
import httpx
import trio
from attrs import define, field

from streamwarm.cli.client import connect
from tests.redact.test_codings import CODINGS
from tests.worlds.http_sink import Connection
from tests.worlds.processes import serving
from tests.worlds.service import DEADLINE_S

SECRETS = {
    "client's token": "canary-client/AbC+dEf=0123456789",
    "bucket's key id": "CANARYR2ACCESSKEYID0123456789AB",
    "bucket's key": "canaryR2/secret+access=key0123456789abcdefghij",
    "bot's token": "7123456789:AAcanary-telegram_ABCDEFGHIJKLMNOPQR",
    "header": "canary.header~ABC+def/0123456789==",
    "JWT": "eyJjYW5hcnkiOjF9." + "aB3-_dEf" * 40 + ".sIgNaTuRe-canary",
    "password in a header": "canary-Basic-pass:word/0123456789",
    "query": "canaryQuery0123456789abcdefgh",
    "path": "T0CANARY1B2C3D4E5F6G7H8I9J0",
    "copies' key id": "CANARYS3ACCESSKEYID0123456789CD",
    "copies' key": "canaryS3/secret+access=key9876543210zyxwvutsrqp",
}
SIGNATURE = len(SECRETS)
CODED = ["raw", "percent", "JSON units", "HTML hexadecimal", "base64"]
PART = 12
PAGES = ["/metrics", "/v1/stats", "/v1/jobs?limit=500", "/v1/jobs?state=failed&limit=500", "/", "/healthz"]
PLACES = ["mybot", "cdn", "copies"]


@define(eq=False)
class Echo:
    """The bucket, the Bot API, an endpoint and another bucket in one server. What it echoes stands in the object's
    name: `echo-3-2.bin` is the third secret in the second coding, in a refusal; `good-…` in a success."""

    port: int = 0
    signatures: set[str] = field(factory=set)

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        while (request := await connection.request()) is not None:
            body = bytearray()
            while piece := await connection.piece():
                body += piece
            status, headers, answer = self._answer(request, bytes(body))
            length = 5 if request.method == b"HEAD" else None
            await connection.answer(status, headers, b"" if length else answer, length_bytes=length)

    def _answer(self, request: h11.Request, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        target, sent = request.target.decode(), {name.decode(): value.decode() for name, value in request.headers}
        found = re.search(r"(echo|good)-(\d+)-(\d+)-?(\w*)", target + body[:2000].decode("latin-1"))
        if found is None:
            return 200, [("Content-Type", "application/xml")], b"<ListBucketResult></ListBucketResult>"
        coded = self._coded(int(found[2]), int(found[3]), sent.get("authorization", ""))
        is_echo, about_source = found[1] == "echo", found[4] == "source"
        said = f"you sent {'x' * 160} {coded}, {sent.get('authorization', '')} to {target}"
        if request.method in {b"GET", b"HEAD"}:
            if is_echo and about_source:
                return 400, [], _xml("InvalidObjectState", said)
            return 200, [("ETag", '"e1"'), ("Content-Type", f"x/{coded}" if not is_echo else "a/b")], b"12345"
        if target.startswith("/bot"):
            if is_echo:
                description = f"Bad Request: can't parse {said}"
                return 400, [], json.dumps({"ok": False, "error_code": 400, "description": description}).encode()
            return 200, [], json.dumps({"ok": True, "result": {"document": {"file_id": coded}}}).encode()
        if target.startswith("/copies"):
            if is_echo:
                return 400, [], _xml("KeyTooLongError", said)
            return 200, [("ETag", f'"{coded}"')], b""
        if is_echo:
            return 400, [("Content-Type", "text/plain")], said.encode()
        return 201, [("ETag", f'"{coded}"'), ("Location", f"/stored/{coded}")], b""

    def _coded(self, secret: int, coding: int, authorization: str) -> str:
        own = re.findall(r"Signature=([0-9a-f]{64})", authorization)
        self.signatures.update(own)
        text = [*SECRETS.values(), *own, "no signature here"][secret]
        return CODINGS[CODED[coding]](text, [True, False, True])


def _xml(code: str, said: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{html.escape(said)}</Message></Error>".encode()


@asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    echo = Echo()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, echo.serve, 0, host="127.0.0.1"))
        echo.port = listeners[0].socket.getsockname()[1]
        yield echo
        nursery.cancel_scope.cancel()


def config_for(folder: Path, port: int) -> Path:
    here, s = f"http://127.0.0.1:{port}", SECRETS
    basic = base64.b64encode(f"user:{s['password in a header']}".encode()).decode()
    headers = {"Authorization": f"Bearer {s['JWT']}", "X-Key": s["header"], "X-Login": f"Basic {basic}"}
    url = f"{here}/hooks/{s['path']}/{{r2_key}}?key={s['query']}"
    keys = {"access_key_id": s["copies' key id"], "secret_access_key": s["copies' key"]}
    tables: dict[str, dict[str, Any]] = {
        "serve": {"listen": "127.0.0.1:0", "http": "127.0.0.1:0", "ready_file": str(folder / "ready.json")},
        "auth": {"tokens": [s["client's token"]]},
        "store": {"url": f"sqlite:///{folder / 'streamwarm.db'}"},
        "log": {"format": "json", "level": "debug"},
        "r2": {
            "endpoint_url": here,
            "bucket": "media",
            "access_key_id": s["bucket's key id"],
            "secret_access_key": s["bucket's key"],
        },
        "destinations.mybot": {
            "type": "telegram",
            "token": s["bot's token"],
            "chats": [-1001],
            "base_url": here,
            "rates": "none",
        },
        "destinations.cdn": {"type": "http", "url": url, "allow_private": True},
        "destinations.cdn.headers": headers,
        "destinations.copies": {"type": "s3", "endpoint_url": here, "bucket": "copies", **keys},
    }
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    ]
    path = folder / "streamwarm.toml"
    path.write_text("\n".join(lines))
    return path


def all_jobs() -> list[dict[str, str]]:
    about = {"kind": "document"}
    pairs = [(secret, coding) for secret in range(SIGNATURE + 1) for coding in range(len(CODED))]
    jobs = [
        {**about, "destination": PLACES[(secret + coding) % 3], "r2_key": f"{word}-{secret}-{coding}.bin"}
        for secret, coding in pairs
        for word in ("echo", "good")
    ]
    return jobs + [
        {**about, "destination": "cdn", "r2_key": f"echo-{secret}-{coding}-source.bin"} for secret, coding in pairs
    ]


def leaks(place: str, secrets: list[str]) -> Iterator[str]:
    """The secrets of which a reader finds a part, after undoing one coding or two, or in base64."""
    unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), place)
    once = [place, unquote(place), html.unescape(place), unescaped]
    readings = [one.lower() for one in (*once, html.unescape(unescaped), unquote(unescaped), unquote(once[1]))]
    for secret in secrets:
        parts = [secret[at : at + PART] for at in range(0, len(secret) - PART + 1, 3)]
        as_base64 = [
            base64.b64encode(b"x" * shift + part.encode()).decode()[4 * (shift > 0) : 15]
            for part in parts
            for shift in range(3)
        ]
        if any(part.lower() in reading for part in parts for reading in readings):
            yield f"{secret} is shown"
        if any(part in place for one in as_base64 for part in (one, one.replace("+", "-").replace("/", "_"))):
            yield f"{secret} is shown in base64"


async def test_a_canary_in_every_secret_setting_is_found_in_nothing_that_is_written(tmp_path: Path) -> None:
    jobs, token = all_jobs(), SECRETS["client's token"]
    shown: list[str] = []
    async with echoing() as echo:
        config = config_for(tmp_path, echo.port)
        async with serving(config, tmp_path / "log") as service, connect(service.websocket, token) as client:
            accepted = [
                item["id"]
                for at in range(0, len(jobs), 400)
                for item in (await client.call("push", {"jobs": jobs[at : at + 400]}))["accepted"]
            ]
            assert len(accepted) == len(jobs)
            async with httpx.AsyncClient(
                base_url=service.http, headers={"Authorization": f"Bearer {token}"}, timeout=60
            ) as http:
                with trio.fail_after(DEADLINE_S):
                    while not is_over((await http.get("/v1/stats")).json()):
                        await trio.sleep(0.2)
                shown += [(await http.get(page)).text for page in PAGES]
            service.process.terminate()
            await service.ended()
        secrets = [*SECRETS.values(), *sorted(echo.signatures)[:8]]
    with sqlite3.connect(tmp_path / "streamwarm.db") as database:
        shown += list(database.iterdump())
    database.close()
    shown.append((tmp_path / "log").read_text("utf-8"))
    told = "\n".join(shown)
    assert told.count("you sent") >= len(jobs) // 3  # the peers' words were written down …
    assert list(leaks(told, secrets)) == []  # … without the secrets


def is_over(stats: dict[str, Any]) -> bool:
    return sum(stats["queue"].get(state, 0) for state in ("queued", "running", "waiting")) == 0
