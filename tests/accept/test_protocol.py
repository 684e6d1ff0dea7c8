from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.jsonrpc import (
    NO_REPLY,
    Call,
    InvalidRequest,
    Message,
    ReplyArray,
    RpcError,
    decode,
    error_reply,
    result_reply,
)
from streamwarm.accept.wire.record_requests import FindRecord, Lookup
from streamwarm.accept.wire.refusals import CallRefusedError, Reason
from streamwarm.accept.wire.requests import METHODS, GetJob, GetStats, ListJobs, PushJobs, WatchJobs
from streamwarm.backlog.store import Filter
from streamwarm.model import Kind, State


def request(method: str, params: object = None, **members: Any) -> str:
    body = {"jsonrpc": "2.0", "id": 1, "method": method} | members
    return json.dumps(body if params is None else body | {"params": params})


def answer(text: str) -> Any:
    """What a client reads back if every call succeeds with null."""
    message = decode(text)
    replies = [
        error_reply(item.id, item.error) if isinstance(item, InvalidRequest) else result_reply(item.id, None)
        for item in message.items
        if item.id is not NO_REPLY
    ]
    if not message.is_batch:
        return replies[0] if replies else None
    array = ReplyArray()
    text = "".join(array.add(json_text(reply)) for reply in replies) + array.end()
    return json.loads(text) if text else None


def code_and_id(reply: Any) -> tuple[int, Any]:
    return reply["error"]["code"], reply["id"]


def the_only(message: Message) -> Call | InvalidRequest:
    [item] = message.items
    return item


# The examples of the specification, section 7; `subtract` and its like are not methods of ours.


def test_spec_a_call_of_a_method_there_is_not_is_told_so() -> None:
    assert code_and_id(answer('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}')) == (-32601, "1")


def test_spec_a_notification_is_never_answered_not_even_with_an_error() -> None:
    assert answer('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}') is None
    assert answer('{"jsonrpc": "2.0", "method": "foobar"}') is None
    assert answer('{"jsonrpc": "2.0", "method": "get", "params": {}}') is None
    assert answer('{"jsonrpc": "2.0", "method": "stats"}') is None


def test_spec_invalid_json_is_a_parse_error_with_a_null_id() -> None:
    assert code_and_id(answer('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]')) == (
        -32700,
        None,
    )
    assert code_and_id(answer('[{"jsonrpc": "2.0", "method": "stats", "id": "1"},{"jsonrpc": "2.0", "method"]')) == (
        -32700,
        None,
    )


def test_spec_an_invalid_request_is_named_so() -> None:
    assert code_and_id(answer('{"jsonrpc": "2.0", "method": 1, "params": "bar"}')) == (-32600, None)


def test_spec_an_empty_batch_is_one_invalid_request() -> None:
    assert code_and_id(answer("[]")) == (-32600, None)


def test_spec_an_invalid_batch_is_answered_item_by_item() -> None:
    assert [code_and_id(reply) for reply in answer("[1]")] == [(-32600, None)]
    assert [code_and_id(reply) for reply in answer("[1,2,3]")] == [(-32600, None)] * 3


def test_spec_a_mixed_batch_gets_each_its_own_answer() -> None:
    replies = answer(
        """[{"jsonrpc": "2.0", "method": "stats", "id": "1"},
            {"jsonrpc": "2.0", "method": "stats"},
            {"jsonrpc": "2.0", "method": "get", "params": [42], "id": "2"},
            {"foo": "boo"},
            {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"}]"""
    )
    assert replies[0] == {"jsonrpc": "2.0", "result": None, "id": "1"}
    assert [code_and_id(reply) for reply in replies[1:]] == [(-32602, "2"), (-32600, None), (-32601, "5")]


def test_spec_a_batch_of_notifications_is_not_answered() -> None:
    assert answer('[{"jsonrpc":"2.0","method":"stats"},{"jsonrpc":"2.0","method":"stats"}]') is None


def test_a_huge_batch_is_refused_as_a_whole_before_any_of_it_is_done() -> None:
    assert code_and_id(answer(json.dumps([{"jsonrpc": "2.0", "method": "stats", "id": 1}] * 51))) == (
        -32600,
        None,
    )


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 500_000 + "]" * 500_000,
        '{"a":' * 100_000,
        request("push", {"jobs": [json.loads("[" * 40 + "]" * 40)]}),
        '{"jsonrpc":"2.0","method":"stats","id":' + "9" * 5000 + "}",
        '{"jsonrpc":"2.0","method":"stats","id":1e999}',
        '{"jsonrpc":"2.0","method":"stats","id":NaN}',
        '{"jsonrpc":"2.0","method":"stats","id":-Infinity}',
        '{"jsonrpc":"2.0","method":"stats","method":"stats","id":1}',
        "",
        "\ufeff{}",
        "nul",
    ],
)
def test_text_that_other_programs_could_not_hold_is_a_parse_error_of_that_message_alone(text: str) -> None:
    assert code_and_id(answer(text)) == (-32700, None)


def test_a_lone_surrogate_in_an_id_comes_back_as_it_was_sent() -> None:
    assert answer(request("stats", id="\ud800"))["id"] == "\ud800"


def test_a_number_beyond_64_bits_is_a_double_as_to_most_programs_and_spoils_no_other_job_of_a_push() -> None:
    call = the_only(decode(request("push", {"jobs": [{"r2_key": "a"}, {"bytes": 2**70}]}, id=2**64)))
    assert isinstance(call, Call)
    assert isinstance(call.request, PushJobs)
    assert call.request.jobs == [{"r2_key": "a"}, {"bytes": 2.0**70}]
    assert call.id == 2**64


@pytest.mark.parametrize("bad_id", [True, [], {}])
def test_an_id_of_a_wrong_type_is_an_invalid_request(bad_id: object) -> None:
    assert code_and_id(answer(request("stats", id=bad_id))) == (-32600, None)


@pytest.mark.parametrize(
    ("method", "params", "named"),
    [
        ("push", {}, "jobs"),
        ("push", {"jobs": {}}, "jobs"),
        ("push", {"jobs": [{}] * 10_001}, "10000"),
        ("push", {"jobs": [], "watch": 1}, "watch"),
        ("push", {"jobs": [], "wach": True}, "wach"),
        ("get", {}, "id"),
        ("get", {"id": 7}, "id"),
        ("get", {"id": "x" * 129}, "id"),
        ("cancel", {"id": "a\nb"}, "id"),
        ("find", {"destination": "b", "kind": "video"}, "sha256"),
        ("find", {"destination": "b", "kind": "video", "sha256": "ab" * 32, "r2_key": "k"}, "one of them"),
        ("find", {"destination": "b", "kind": "film", "r2_key": "k"}, "video_note"),
        ("find", {"destination": "b", "kind": "video", "sha256": "xy" * 32}, "64 hexadecimal"),
        ("forget", {"kind": "video", "r2_key": "k"}, "destination"),
        ("list", {"state": "lost"}, "waiting"),
        ("list", {"limit": 0}, "limit"),
        ("list", {"limit": True}, "limit"),
        ("list", {"limit": 501}, "500"),
        ("list", {"after": -1}, "after"),
        ("watch", {"ids": "abc"}, "ids"),
        ("watch", {"ids": [1]}, "id"),
        ("watch", {"since": 1.5}, "since"),
        ("unwatch", {"ids": []}, "ids"),
        ("stats", {"x": 1}, "x"),
        ("list", {"after": 2**70}, "after"),
        ("stats", [1], "object"),
        ("get", [], "id"),
    ],
)
def test_a_wrong_param_is_named_with_what_is_allowed(method: str, params: object, named: str) -> None:
    reply = answer(request(method, params))
    assert reply["error"]["code"] == -32602
    assert named in reply["error"]["message"]


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("push", {"jobs": [1], "watch": True}, PushJobs([1], watch=True)),
        ("push", {"jobs": []}, PushJobs([], watch=True)),
        ("get", {"id": "a"}, GetJob("a")),
        (
            "find",
            {"destination": "b", "kind": "photo", "sha256": "AB" * 32},
            FindRecord(Lookup("b", Kind.PHOTO, sha256="ab" * 32)),
        ),
        ("list", {}, ListJobs(Filter(), 100)),
        ("list", {"state": "failed", "limit": 5, "after": 9}, ListJobs(Filter(State.FAILED), 5, 9)),
        ("watch", {}, WatchJobs()),
        ("watch", {"ids": ["a"], "since": 3}, WatchJobs(("a",), 3)),
        ("stats", None, GetStats()),
    ],
)
def test_good_params_become_what_was_asked(method: str, params: object, expected: object) -> None:
    assert the_only(decode(request(method, params))) == Call(1, expected)  # type: ignore[arg-type]


def test_a_refused_call_tells_its_name_and_when_to_come_back() -> None:
    error = RpcError.of(CallRefusedError(Reason.QUEUE_FULL, "full", retry_after_s=5.0))
    assert error_reply(1, error)["error"] == {
        "code": -32001,
        "message": "full",
        "data": {"reason": "queue_full", "retry_after_s": 5.0},
    }


@settings(max_examples=60, deadline=None)
@given(st.text())
@example("\ud800")
@example('{"jsonrpc":"2.0","id":1,"method":"\\ud800"}')
@example('{"jsonrpc":"2.0","id":1,"method":"stats","params":null}')
def test_no_text_whatever_brings_the_decoder_down(text: str) -> None:
    assert_is_answered(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
PARAMS = st.dictionaries(
    st.sampled_from(
        [
            "jobs",
            "watch",
            "id",
            "ids",
            "since",
            "state",
            "destination",
            "kind",
            "sha256",
            "r2_key",
            "limit",
            "after",
        ]
    ),
    JSON,
)
REQUESTS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": st.sampled_from(METHODS) | st.text(max_size=6)},
    optional={"id": JSON, "params": PARAMS | JSON},
)


@settings(max_examples=60, deadline=None)
@given(REQUESTS | st.lists(REQUESTS | JSON, max_size=4) | JSON)
def test_no_request_whatever_brings_the_decoder_down(value: Any) -> None:
    assert_is_answered(json.dumps(value))


def assert_is_answered(text: str) -> None:
    replies = answer(text)
    for reply in replies if isinstance(replies, list) else [replies]:
        assert reply is None or reply["jsonrpc"] == "2.0"
        assert reply is None or ("result" in reply) != ("error" in reply)
