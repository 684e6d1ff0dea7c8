"""The published description of the HTTP API must be true, or clients generated from it break."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import trio
from openapi_spec_validator import OpenAPIV31SpecValidator

from streamwarm.accept.auth import Auth
from streamwarm.accept.describe.openapi import openapi_document
from streamwarm.service.machine import real_machine
from streamwarm.service.nursery import run_service
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.destinations import parse_destinations
from streamwarm.settings.schema import Address, R2Settings, ServeSettings, Settings, StoreSettings
from streamwarm.watch.observations import Observation, UnexpectedError
from tests.worlds.accept import make_app, open_http_service, open_world
from tests.worlds.accept_clients import api

API = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json")
"""The routes for programs; the others are pages for users."""

REFUSES_WHAT_IS_VALID = (
    "POST /v1/jobs",
    "POST /v1/media/import",
    "POST /v1/media/verify",
    "GET /v1/media",
    "POST /v1/pause",
    "POST /v1/resume",
)
"""What no schema says of these: a body of jobs or records, each of which may be anything, is refused for one integer
beyond 64 bits, for a nesting of more than 32 levels, or for its size; `after` must be a text that `next` had; a time
must lie after 1970 (`date-time` begins in the year 0), and that of a pause in the future."""

LISTS_THE_BUCKET = "/v1/media/refresh"
"""Answered with 503: nothing can be listed here."""

NOWHERE = "http://127.0.0.1:9"
"""The discard port. Nothing listens there, so attempts fail at once."""


async def test_the_document_is_valid_and_has_every_route_and_no_other() -> None:
    document = openapi_document()
    OpenAPIV31SpecValidator(document).validate()
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    async with open_world() as world:
        routes = make_app(world, Auth()).routes
    routed = {(route.path.replace(":path", ""), method) for route in routes for method in route.methods}
    pages = {path for path, _ in routed if not path.startswith(("/v1/", "/metrics", "/openapi", "/healthz", "/readyz"))}
    assert {(path, method) for path, method in routed if method != "HEAD" and path not in pages} == described
    assert pages <= {"/"} | {path for path in pages if path.startswith("/dashboard")}


async def test_the_document_is_served_as_it_is() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        answer = await client.get("/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == openapi_document()


@asynccontextmanager
async def running_service(observed: list[Observation]) -> AsyncIterator[str]:
    free = Address("127.0.0.1", 0)
    settings = Settings(
        serve=ServeSettings(listen=free, http=free),
        store=StoreSettings(url="memory:"),
        r2=R2Settings(endpoint_url=NOWHERE, bucket="b", access_key_id="a", secret_access_key="s"),  # type: ignore[arg-type]
        destinations=parse_destinations(
            {"mybot": {"type": "telegram", "token": "1:abc", "chats": [1], "base_url": NOWHERE}}
        ),
    )
    shutdown = Shutdown()
    async with trio.open_nursery() as nursery:
        endpoints = await nursery.start(partial(run_service, settings, shutdown, observed.append, real_machine()))
        yield endpoints.http
        shutdown.signal()


async def test_a_running_service_answers_everything_as_its_document_says(tmp_path: Path) -> None:
    observed: list[Observation] = []
    async with running_service(observed) as url:
        # Server-sent events never end, and schemathesis waits for the end of an answer. The next test covers them.
        every = ["--exclude-path", "/v1/events"]
        exact = [f"--exclude-name={name}" for name in REFUSES_WHAT_IS_VALID]
        inexact = [f"--include-name={name}" for name in REFUSES_WHAT_IS_VALID]
        unlisted = ["--include-path", LISTS_THE_BUCKET, "--exclude-checks", "not_a_server_error"]
        with trio.fail_after(240):
            await check_against_document(url, tmp_path, [*every, *exact, "--exclude-path", LISTS_THE_BUCKET])
            await check_against_document(url, tmp_path, unlisted)
            await check_against_document(url, tmp_path, [*inexact, "--exclude-checks", "positive_data_acceptance"])
        assert not [one for one in observed if isinstance(one, UnexpectedError)]
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/healthz")).status_code == 200


async def check_against_document(url: str, folder: Path, which: list[str]) -> None:
    """Run schemathesis on the document's operations `which`; fails with what it finds."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}openapi.json", *which]
    command += ["--checks", "all", "--seed", "1", "--max-examples", "8"]
    command += ["--phases", "examples,coverage,fuzzing", "--no-color", "--warnings", "off"]
    run = await trio.run_process(command, cwd=folder, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
    assert run.returncode == 0, run.stdout.decode()[-8000:]


async def test_the_stream_of_events_answers_as_its_document_says() -> None:
    operation = openapi_document()["paths"]["/v1/events"]["get"]
    [schema] = {json.dumps(parameter["schema"]) for parameter in operation["parameters"]}
    low, high = json.loads(schema)["minimum"], json.loads(schema)["maximum"]
    good, bad = [str(low), str(high)], [str(low - 1), str(high + 1), "1.5", "x", "٣"]
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        for where in [parameter["in"] for parameter in operation["parameters"]]:
            for value in good + bad:
                given: dict[str, Any] = {"params": {"last_event_id": value}}
                if where == "header":
                    given = {"headers": {"Last-Event-ID": value.encode()}}
                async with client.stream("GET", "/v1/events", **given) as answer:
                    assert answer.status_code == (200 if value in good else 400), (where, value)
                    described = operation["responses"][str(answer.status_code)]["content"]
                    assert answer.headers["content-type"].partition(";")[0] in described
