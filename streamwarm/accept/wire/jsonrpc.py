"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification) without a socket: text in, typed calls out, and back. Pure.

A message contains one request or a batch. `decode` never raises. A malformed message, or a malformed request of a
batch, becomes an `InvalidRequest`, which is answered with an error; the batch's other requests are executed. A request
without an `id` is a notification: it is executed and never answered, not even with an error. Replies are in the order
of the requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from attrs import define, frozen

from streamwarm.accept.wire.fields import FieldError, shown
from streamwarm.accept.wire.json_text import BadJsonError, json_text, parse_json
from streamwarm.accept.wire.refusals import CallRefusedError
from streamwarm.accept.wire.requests import METHODS, Request, parse_request
from streamwarm.accept.wire.views import event_view, progress_view
from streamwarm.model import Event, JsonObject, Progress

SUBPROTOCOL = "streamwarm.v1"

MAX_MESSAGE_BYTES = 1 << 20
"""Contract, section 5: a longer frame closes the connection with 1009."""

MAX_BATCH = 50
"""Requests in one batch. Its replies are sent one by one, so it bounds the time that one message takes."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class _NoReply(Enum):
    """The id of a notification. (A request with the id null is not one: it is answered.)"""

    WANTED = "no reply wanted"


NO_REPLY = _NoReply.WANTED

RequestId = str | int | float | None | _NoReply


@frozen
class RpcError:
    """JSON-RPC's error object."""

    code: int
    message: str
    data: JsonObject | None = None

    @classmethod
    def of(cls, refusal: CallRefusedError) -> RpcError:
        data: dict[str, Any] = {"reason": refusal.reason.text}
        if refusal.retry_after_s is not None:
            data["retry_after_s"] = refusal.retry_after_s
        return cls(refusal.reason.rpc_code, refusal.message, data)


@frozen
class Call:
    """A valid request."""

    id: RequestId
    request: Request


@frozen
class InvalidRequest:
    """A request that cannot be executed; `error` is its reply."""

    id: RequestId
    error: RpcError


@frozen
class Message:
    """The requests of one message, in order. If `is_batch`, the reply is an array."""

    items: Sequence[Call | InvalidRequest]
    is_batch: bool = False


def decode(text: str) -> Message:
    """The requests in `text`. Never raises, whatever the text is."""
    try:
        value = parse_json(text)
    except BadJsonError as error:
        return _refused(PARSE_ERROR, f"the message is not valid JSON: {error}")
    if not isinstance(value, list):
        return Message((_decode_request(value),))
    if not 1 <= len(value) <= MAX_BATCH:
        return _refused(INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} requests; this one has {len(value)}")
    return Message([_decode_request(item) for item in value], is_batch=True)


@define
class ReplyArray:
    """The text that answers a batch, piece by piece. A batch that has only notifications is not answered at all."""

    _is_begun: bool = False

    def add(self, reply: str) -> str:
        """The next piece: it has the text of one reply."""
        before, self._is_begun = ("," if self._is_begun else "["), True
        return before + reply

    def end(self) -> str:
        """The last piece. Empty if nothing was added."""
        return "]" if self._is_begun else ""


def result_reply(request_id: RequestId, result: JsonObject | None) -> JsonObject:
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def error_reply(request_id: RequestId, error: RpcError) -> JsonObject:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def event_text(event: Event) -> str:
    """The notification `event`."""
    return _notification("event", event_view(event))


def progress_text(progress: Progress) -> str:
    """The notification `progress`."""
    return _notification("progress", progress_view(progress))


def draining_text(within_s: float) -> str:
    """The notification `draining`: pushes are refused from now on, and the service stops within that many seconds."""
    return _notification("draining", {"within_s": within_s})


def _notification(method: str, params: JsonObject) -> str:
    return json_text({"jsonrpc": "2.0", "method": method, "params": params})


def _refused(code: int, message: str) -> Message:
    return Message((InvalidRequest(None, RpcError(code, message)),))


def _decode_request(value: object) -> Call | InvalidRequest:
    request_id: RequestId = None
    try:
        members = _object(value)
        request_id = _request_id(members)
        method, params = _envelope(members)
    except FieldError as error:
        # By the specification an invalid request is answered even if its id could not be read.
        answer_to = None if request_id is NO_REPLY else request_id
        return InvalidRequest(answer_to, RpcError(INVALID_REQUEST, f"invalid request: {error}"))
    if method not in METHODS:
        message = f"there is no method {shown(method)}; methods: {', '.join(METHODS)}"
        return InvalidRequest(request_id, RpcError(METHOD_NOT_FOUND, message))
    try:
        return Call(request_id, parse_request(method, params))
    except FieldError as error:
        return InvalidRequest(request_id, RpcError(INVALID_PARAMS, f"{method}: {error}"))


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FieldError("a request must be an object")
    return value


def _request_id(value: dict[str, Any]) -> RequestId:
    if "id" not in value:
        return NO_REPLY
    request_id = value["id"]
    if isinstance(request_id, bool) or not isinstance(request_id, str | int | float | None):
        raise FieldError("id must be a string, a number or null")
    return request_id


def _envelope(value: dict[str, Any]) -> tuple[str, object]:
    if value.get("jsonrpc") != "2.0":
        raise FieldError('jsonrpc must be "2.0"')
    method, params = value.get("method"), value.get("params", {})
    if not isinstance(method, str):
        raise FieldError("method must be a string")
    if not isinstance(params, dict | list):
        raise FieldError("params must be an object")
    return method, params
