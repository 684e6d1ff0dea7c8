"""What one would write in an afternoon: five tasks, each a download piped into an upload. Two of them:

    python plain_worker.py '{"client": "httpx" | "curl", "source": URL, "sink": URL, …}'

`httpx` streams through one httpx client as it comes; `curl` pipes one curl into another. Jobs come as JSON lines on
standard input; a line goes out when each has ended, and one with what it all took. Nothing is stored or verified.
"""

from __future__ import annotations

import json
import os
import resource
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio

from streamwarm.s3.sigv4 import S3Request, Signer, SigningKeys, object_path

WORKERS = 5
METHODS = {"photo": "sendPhoto", "video": "sendVideo", "document": "sendDocument"}
BOUNDARY = "plainworkerboundary"

Relay = Callable[[dict[str, Any]], Awaitable[None]]


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def relay_by_httpx(client: httpx.AsyncClient, signer: Signer, given: dict[str, Any], job: dict[str, Any]) -> None:
    path = object_path(given["bucket"], job["key"])
    signed = signer.headers(S3Request("GET", urlsplit(given["source"]).netloc, path), now=time.time())
    async with client.stream("GET", given["source"] + path, headers=signed) as source:
        before = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n{given["chat"]}\r\n--{BOUNDARY}\r\n'
            f'Content-Disposition: form-data; name="{job["kind"]}"; filename="file"\r\n\r\n'
        ).encode()
        after = f"\r\n--{BOUNDARY}--\r\n".encode()
        length = len(before) + int(source.headers["content-length"]) + len(after)

        async def body() -> AsyncIterator[bytes]:
            yield before
            async for piece in source.aiter_raw():
                yield piece
            yield after

        answer = await client.post(
            f"{given['sink']}/bot{given['token']}/{METHODS[job['kind']]}",
            content=body(),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Length": str(length)},
        )
    if not answer.json()["ok"]:
        raise RuntimeError(answer.text)


async def relay_by_curl(given: dict[str, Any], job: dict[str, Any]) -> None:
    ca = ["--cacert", given["ca_file"]] if given["ca_file"] else []
    down = ["curl", "-sSf", *ca, "--aws-sigv4", "aws:amz:auto:s3"]
    down += ["--user", f"{given['access_key_id']}:{given['secret_access_key']}"]
    down += [f"{given['source']}/{given['bucket']}/{job['key']}"]
    up = ["curl", "-sSf", *ca, "-F", f"chat_id={given['chat']}", "-F", f"{job['kind']}=@-;filename=file"]
    up += [f"{given['sink']}/bot{given['token']}/{METHODS[job['kind']]}"]
    reading, writing = os.pipe()
    try:
        source = await trio.lowlevel.open_process(down, stdout=writing)
    finally:
        os.close(writing)
    try:
        sink = await trio.run_process(up, stdin=reading, capture_stdout=True)
    finally:
        os.close(reading)
    if await source.wait() or not json.loads(sink.stdout)["ok"]:
        raise RuntimeError("curl failed")


async def work(jobs: trio.MemoryReceiveChannel[dict[str, Any]], relay: Relay) -> None:
    async for job in jobs:
        try:
            await relay(job)
            say({"number": job["number"], "ok": True})
        except Exception as exc:
            say({"number": job["number"], "ok": False, "error": repr(exc)})


async def read_jobs(send: trio.MemorySendChannel[dict[str, Any]]) -> None:
    buffered = b""
    async with send, trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as lines:
        async for piece in lines:
            *whole, buffered = (buffered + piece).split(b"\n")
            for line in whole:
                await send.send(json.loads(line))


async def main(given: dict[str, Any]) -> None:
    context = ssl.create_default_context(cafile=given["ca_file"]) if given["ca_file"] else True
    signer = Signer(given["access_key_id"], given["secret_access_key"], SigningKeys())
    send, jobs = trio.open_memory_channel[dict[str, Any]](500)
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(verify=context, limits=limits, timeout=60, trust_env=False) as client:
        by_httpx = partial(relay_by_httpx, client, signer, given)
        relay: Relay = by_httpx if given["client"] == "httpx" else partial(relay_by_curl, given)
        say({"ready": True})
        before = cpu_s()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_jobs, send)
            for _ in range(WORKERS):
                nursery.start_soon(work, jobs, relay)
    say({"end": True, "cpu_s": cpu_s() - before})


def cpu_s() -> float:
    taken = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in taken)


if __name__ == "__main__":
    trio.run(main, json.loads(sys.argv[1]))
