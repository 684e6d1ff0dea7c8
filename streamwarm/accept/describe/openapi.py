"""Describes the HTTP API as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0). Pure.

Bounds and lists of words come from the code that checks them. Tests check that every route is here, and that a running
service answers as described.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from streamwarm import __version__
from streamwarm.accept.describe.schemas import SCHEMAS
from streamwarm.accept.wire.fields import Field, ref
from streamwarm.accept.wire.table import FORGET, ID, KIND, LIST, NAME, RECORDS, SEQ
from streamwarm.backlog.store import Action
from streamwarm.model import JsonObject

_Operation = dict[str, Any]

_JSON = "application/json"
_GUARDED = (401, 403, 429)
_WITH_BODY = (400, 408, 413)


def openapi_document() -> JsonObject:
    """The document that `GET /openapi.json` answers."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamwarm",
            "version": __version__,
            "description": "Warms media for Telegram bots. The websocket has the same methods, and sends events.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "One of auth.tokens."}},
        },
        # A service without auth.tokens needs no token.
        "security": [{"token": []}, {}],
    }


def _paths() -> dict[str, Any]:
    return {
        "/healthz": {"get": _text("200 while the event loop runs.", "text/plain", errors=(), open_to_all=True)},
        "/readyz": {
            "get": _text("200 while the store answers and jobs are claimed.", "text/plain", (503,), open_to_all=True)
        },
        "/metrics": {"get": _text("Prometheus text.", "text/plain", errors=_GUARDED)},
        "/openapi.json": {"get": _answers("This document.", {"type": "object"}, errors=_GUARDED)},
        "/v1/jobs": {"post": _push(), "get": _list()},
        **{
            f"/v1/jobs/{action}": {"get": _of_job("The job of this id.", named=True), "post": _change(action)}
            for action in Action
        },
        "/v1/jobs/{id}": {"get": _of_job("A job.")},
        "/v1/jobs/{id}/attempts": {"get": _of_job("The job's last attempts, oldest first.", answer="Attempts")},
        "/v1/jobs/{id}/retry": {"post": _of_job("Queue it again. Answers the job afterwards.")},
        "/v1/jobs/{id}/cancel": {"post": _of_job("Cancel it. Answers the job afterwards.")},
        "/v1/media/{destination}/{kind}/{sha256_or_key}": {
            "get": _of_media("The warm record; 404 while it is cold.", ref("WarmRecord")),
            "delete": _forget(),
        },
        "/v1/media/{destination}/{kind}/{sha256_or_key}/invalid": {"post": _invalid()},
        "/v1/media": {"get": _records()},
        "/v1/media/import": {"post": _posted("Store references that were made elsewhere.", "Import", "Imported")},
        "/v1/media/verify": {
            "post": _posted("Ask the destination whether references still work: one page.", "Verify", "Verified")
        },
        "/v1/media/refresh": {
            "post": _posted(
                "Compare the bucket's listing with the records, and warm anew what changed.", "Refresh", "Refreshed"
            )
        },
        "/v1/stats": {"get": _answers("The state of the service.", ref("Stats"), errors=(*_GUARDED, 503))},
        "/v1/events": {"get": _events()},
        "/v1/pause": {"post": _pauses("Send nothing to a destination, or anywhere.", ref("Pause"))},
        "/v1/resume": {"post": _pauses("End that pause.", ref("Resume"))},
    }


def _push() -> _Operation:
    operation = _answers("Push jobs.", ref("PushAnswer"), errors=(*_GUARDED, *_WITH_BODY, 503))
    return {**operation, "requestBody": _body(ref("Push"))}


def _list() -> _Operation:
    operation = _answers("Jobs, newest first.", ref("Page"), errors=(*_GUARDED, 400, 503))
    return {**operation, "parameters": [_query(name, one) for name, one in LIST.fields.items()]}


def _change(action: Action) -> _Operation:
    summary = f"{action.capitalize()} jobs, by ids or by filter: one batch."
    operation = _answers(summary, ref("Changed"), errors=(*_GUARDED, *_WITH_BODY, 503))
    return {**operation, "requestBody": _body(ref("ChangeJobs"))}


def _of_job(summary: str, *, named: bool = False, answer: str = "Job") -> _Operation:
    """`named`: the path is fixed, with the id in it."""
    operation = _answers(summary, ref(answer), errors=(*_GUARDED, 400, 404, 503))
    return operation if named else {**operation, "parameters": [_in_path("id", ID.schema())]}


def _of_media(summary: str, schema: JsonObject, errors: Sequence[int] = ()) -> _Operation:
    operation = _answers(summary, schema, errors={*_GUARDED, 400, 404, 503, *errors})
    key = "64 hexadecimal digits are tried as a digest, then as a key. A key may have slashes, encoded or not."
    return {
        **operation,
        "parameters": [
            _in_path("destination", NAME.schema()),
            _in_path("kind", KIND.schema()),
            {**_in_path("sha256_or_key", {"type": "string", "minLength": 1}), "description": key},
        ],
    }


def _forget() -> _Operation:
    operation = _of_media("Drop the record, so that the next push warms again.", ref("Forgotten"))
    return {**operation, "parameters": [*operation["parameters"], _query("file_id", FORGET.fields["file_id"])]}


def _invalid() -> _Operation:
    summary = "Report a reference that does not work: if it is still the recorded one, its object is warmed anew."
    operation = _of_media(summary, ref("Reported"), errors=_WITH_BODY)
    return {**operation, "requestBody": _body(ref("Invalid"))}


def _records() -> _Operation:
    operation = _answers("Warm records, by key.", ref("RecordPage"), errors=(*_GUARDED, 400, 503))
    return {**operation, "parameters": [_query(name, one) for name, one in RECORDS.fields.items()]}


def _posted(summary: str, body: str, answer: str) -> _Operation:
    operation = _answers(summary, ref(answer), errors=(*_GUARDED, *_WITH_BODY, 404, 503))
    return {**operation, "requestBody": _body(ref(body))}


def _events() -> _Operation:
    operation = _text("The notifications as server-sent events.", "text/event-stream", (*_GUARDED, 400, 503))
    description = "Replay the events after it."
    header = {"name": "Last-Event-ID", "in": "header", "schema": SEQ.schema(), "description": description}
    return {**operation, "parameters": [header, _query("last_event_id", SEQ)]}


def _pauses(summary: str, schema: JsonObject) -> _Operation:
    operation = _answers(summary, ref("Stats"), errors=(*_GUARDED, *_WITH_BODY, 404, 503))
    return {**operation, "requestBody": {**_body(schema), "required": False}}


def _answers(summary: str, schema: JsonObject, errors: Collection[int]) -> _Operation:
    return _operation(summary, _JSON, schema, errors)


def _text(summary: str, media_type: str, errors: Sequence[int], *, open_to_all: bool = False) -> _Operation:
    operation = _operation(summary, media_type, {"type": "string"}, errors)
    return {**operation, "security": [{}]} if open_to_all else operation


def _operation(summary: str, media_type: str, schema: JsonObject, errors: Collection[int]) -> _Operation:
    responses: dict[str, Any] = {"200": {"description": "OK", "content": {media_type: {"schema": schema}}}}
    for status in sorted(errors):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": ref("Problem")}},
        }
    return {"summary": summary, "responses": responses}


def _body(schema: JsonObject) -> dict[str, Any]:
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _query(name: str, one: Field) -> Mapping[str, Any]:
    default = {} if one.default is None else {"default": one.default}
    described = {"description": one.description} if one.description else {}
    return {"name": name, "in": "query", "schema": one.schema() | default, **described}


def _in_path(name: str, schema: JsonObject) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}
