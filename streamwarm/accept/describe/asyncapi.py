"""Describes the websocket as AsyncAPI 3.0 (https://www.asyncapi.com/docs/reference/specification/v3.0.0). Pure.

`tools/asyncapi.py` writes it to docs/asyncapi.yaml. A test checks every method and notification of a running service
against it.
"""

from __future__ import annotations

from typing import Any

from streamwarm import __version__
from streamwarm.accept.describe.schemas import EVENT, PROGRESS, SCHEMAS
from streamwarm.accept.wire.fields import or_null, ref
from streamwarm.accept.wire.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_MESSAGE_BYTES,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SUBPROTOCOL,
)
from streamwarm.accept.wire.refusals import Reason
from streamwarm.accept.wire.table import PARAMS, SEQ
from streamwarm.backlog.store import Action
from streamwarm.model import JsonObject

_SEEN = {"type": "object", "properties": {"seq": SEQ.schema()}}

_RESULTS: dict[str, dict[str, Any]] = {
    "push": ref("PushAnswer"),
    "get": ref("Job"),
    "attempts": ref("Attempts"),
    "find": or_null(ref("WarmRecord")),
    "list": ref("Page"),
    "cancel": ref("Job"),
    "retry": ref("Job"),
    **{f"{action}_jobs": ref("Changed") for action in Action},
    "records": ref("RecordPage"),
    "invalid": ref("Reported"),
    "import": ref("Imported"),
    "verify": ref("Verified"),
    "refresh": ref("Refreshed"),
    "forget": ref("Forgotten"),
    "watch": _SEEN,
    "unwatch": {"type": "object"},
    "pause": ref("Stats"),
    "resume": ref("Stats"),
    "stats": ref("Stats"),
}

METHOD_SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    method: (PARAMS[method].schema(), result) for method, result in _RESULTS.items()
}
"""Params and result of each method."""

NOTIFICATION_SCHEMAS: dict[str, dict[str, Any]] = {
    "event": EVENT,
    "progress": PROGRESS,
    "draining": {"type": "object", "properties": {"within_s": {"type": "number"}}, "required": ["within_s"]},
}
"""Params of each notification."""

_RPC_CODES = (PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR)


def asyncapi_document() -> JsonObject:
    """The content of docs/asyncapi.yaml."""
    messages = {
        **{f"{name}.call": _call(name, params) for name, (params, _) in METHOD_SCHEMAS.items()},
        **{f"{name}.reply": _reply(result) for name, (_, result) in METHOD_SCHEMAS.items()},
        "error": _message(_envelope({"id": {}, "error": ref("RpcError")}, "id", "error")),
        **{name: _notification(name, params) for name, params in NOTIFICATION_SCHEMAS.items()},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "streamwarm",
            "version": __version__,
            "description": f"JSON-RPC 2.0 in text frames of at most {MAX_MESSAGE_BYTES} bytes; subprotocol "
            f"{SUBPROTOCOL}. A client ignores notifications that it does not know.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "service": {
                "host": "127.0.0.1:8787",
                "protocol": "ws",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "rpc": {
                "address": "/",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            **{name: _operation(name) for name in METHOD_SCHEMAS},
            "notify": {
                "action": "send",
                "channel": {"$ref": "#/channels/rpc"},
                "messages": [_on_channel(name) for name in NOTIFICATION_SCHEMAS],
            },
        },
        "components": {
            "messages": messages,
            "schemas": {**SCHEMAS, "RpcError": _RPC_ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "One of auth.tokens."}},
        },
    }


_RPC_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "code": {
            "enum": [*_RPC_CODES, *(reason.rpc_code for reason in Reason)],
            "description": ", ".join(f"{reason.rpc_code} {reason.text}" for reason in Reason),
        },
        "message": {"type": "string"},
        "data": {
            "type": "object",
            "properties": {
                "reason": {"enum": [reason.text for reason in Reason]},
                "retry_after_s": {"type": "number"},
            },
        },
    },
    "required": ["code", "message"],
}


def _call(name: str, params: JsonObject) -> JsonObject:
    members = {"id": {"type": ["string", "number", "null"]}, "method": {"const": name}, "params": params}
    return _message(_envelope(members, "method"))


def _reply(result: JsonObject) -> JsonObject:
    return _message(_envelope({"id": {}, "result": result}, "id", "result"))


def _notification(name: str, params: JsonObject) -> JsonObject:
    return _message(_envelope({"method": {"const": name}, "params": params}, "method", "params"))


def _envelope(members: dict[str, Any], *required: str) -> JsonObject:
    properties = {"jsonrpc": {"const": "2.0"}, **members}
    return {"type": "object", "properties": properties, "required": ["jsonrpc", *required]}


def _message(payload: JsonObject) -> JsonObject:
    return {"payload": payload}


def _operation(name: str) -> JsonObject:
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/rpc"},
        "messages": [_on_channel(f"{name}.call")],
        "reply": {
            "channel": {"$ref": "#/channels/rpc"},
            "messages": [_on_channel(f"{name}.reply"), _on_channel("error")],
        },
    }


def _on_channel(message: str) -> JsonObject:
    return {"$ref": f"#/channels/rpc/messages/{message}"}
