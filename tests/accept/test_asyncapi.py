"""The published description of the websocket must be true, method by method, or clients made from it break."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from streamwarm.accept.describe.asyncapi import METHOD_SCHEMAS, NOTIFICATION_SCHEMAS, asyncapi_document
from streamwarm.accept.wire.requests import METHODS
from streamwarm.backlog.settlement import Failed
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import Progress
from tests.worlds.accept import World, job, open_websocket_service, open_world
from tests.worlds.accept_clients import Client, open_client
from tools.asyncapi import TARGET, render

STUBBED = {"pause", "resume", "stats"}
"""Methods that answer with stats, which this world does not have. test_openapi.py checks those by the same schema."""

BY_KEY = {"destination": "mybot", "kind": "video", "r2_key": "media/a.mp4"}


def validate(value: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": asyncapi_document()["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def test_the_file_is_what_the_code_says() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run: python tools/asyncapi.py"


def test_it_has_every_method_and_no_other() -> None:
    assert set(METHOD_SCHEMAS) == set(METHODS)
    document = asyncapi_document()
    named = set(document["channels"]["rpc"]["messages"])
    for operation in document["operations"].values():
        refs = [*operation["messages"], *operation.get("reply", {}).get("messages", [])]
        assert {one["$ref"].rpartition("/")[2] for one in refs} <= named
    for message in document["components"]["messages"].values():
        jsonschema.Draft202012Validator.check_schema(message["payload"])


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("watch", {"since": 0}),
    ("push", {"jobs": [job("mine", id="mine"), {}, job("b")], "watch": True}),
    ("get", {"id": "mine"}),
    ("attempts", {"id": "mine"}),
    ("attempts", {"id": "failed"}),
    ("attempts", {"id": "running"}),
    ("list", {"state": "queued", "destination": "mybot", "limit": 5}),
    ("find", BY_KEY),
    ("find", {**BY_KEY, "r2_key": "never"}),
    ("records", {"destination": "mybot", "prefix": "media/", "source_state": "current", "limit": 5}),
    ("import", {"records": [{**BY_KEY, "r2_key": "there", "file_id": "BAAC"}, {}]}),
    ("invalid", {**BY_KEY, "r2_key": "there", "file_id": "BAAC", "error": "wrong file identifier"}),
    ("invalid", {**BY_KEY, "file_id": "another"}),
    ("verify", {"destination": "mybot"}),
    ("refresh", {"destination": "mybot", "prefix": "media/", "dry_run": True}),
    ("cancel", {"id": "mine"}),
    ("retry", {"id": "mine"}),
    ("retry_jobs", {"state": "failed"}),
    ("cancel_jobs", {"ids": ["mine"]}),
    ("forget_jobs", {"destination": "mybot", "limit": 1}),
    ("forget", BY_KEY),
    ("pause", {"destination": "mybot", "until": 4102444800}),
    ("resume", {}),
    ("stats", {}),
    ("unwatch", {}),
]


async def end_some_jobs(world: World, client: Client) -> None:
    """One job is done, one has failed, one is waiting to run."""
    await client.call("push", jobs=[job(id="done"), job("failed", id="failed"), job("running", id="running")])
    await world.warm("done")
    failed, _ = await world.store.claim(["failed", "running"])
    error = JobError(ErrorCode.TIMEOUT, "no byte", permanent=False)
    assert await world.store.settle([Failed(failed.lease, error)]) == [True]
    world.progress["running"] = Progress("running", 10, 5, None)


async def test_every_method_takes_and_answers_what_it_says() -> None:
    assert {method for method, _ in CALLS} == set(METHODS)
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await end_some_jobs(world, client)
        for method, params in CALLS:
            takes, answers = METHOD_SCHEMAS[method]
            validate(params, takes)
            result = await client.call(method, **params)
            if method not in STUBBED:
                validate(result, answers)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("get", {}),
        ("find", {**BY_KEY, "sha256": "ab" * 32}),
        ("retry_jobs", {}),
        ("watch", {"since": -1}),
        ("stats", {"x": 1}),
    ],
)
async def test_what_it_forbids_is_refused_as_it_says(method: str, params: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(params, METHOD_SCHEMAS[method][0])
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        error = (await client.call(method, **params))["error"]
        validate(error, asyncapi_document()["components"]["schemas"]["RpcError"])


async def test_every_notification_is_as_it_says() -> None:
    async with open_world() as world, open_websocket_service(world) as url, open_client(url) as client:
        await client.call("watch")
        await end_some_jobs(world, client)
        world.intake.drain(30)
        seen: set[str] = set()
        while seen != set(NOTIFICATION_SCHEMAS):
            note = await client.notification()
            validate(note["params"], NOTIFICATION_SCHEMAS[note["method"]])
            seen.add(note["method"])
