"""What a user loses without these: the right `file_id` from whatever Telegram answers, and the right next step from
whatever it refuses."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.errors import DestinationError, ErrorCode, InvalidOptions
from streamwarm.model import Kind
from streamwarm.redact import make_redactor
from streamwarm.send.telegram import bot_api, names
from streamwarm.settings.telegram_options import check_options


def message(**file: Any) -> bytes:
    return json.dumps({"ok": True, "result": {"message_id": 7, "chat": {"id": -100}, **file}}).encode()


def refusal(code: int, description: str, **parameters: Any) -> bytes:
    return json.dumps({"ok": False, "error_code": code, "description": description, "parameters": parameters}).encode()


def read(status: int, body: bytes) -> DestinationError:
    with pytest.raises(DestinationError) as caught:
        bot_api.read_reply(status, body)
    return caught.value


def test_the_largest_photo_is_the_one_that_is_recorded() -> None:
    sizes = [
        {"file_id": "large", "file_unique_id": "L", "width": 1280, "height": 960},
        {"file_id": "small", "file_unique_id": "S", "width": 90, "height": 67},
    ]
    reply = bot_api.read_reply(200, message(photo=sizes))
    assert (reply.file_id, reply.file_unique_id, reply.kind) == ("large", "L", "photo")
    assert (reply.chat_id, reply.message_id) == (-100, 7)


def test_a_silent_video_that_came_back_as_an_animation_is_recorded_as_one() -> None:
    file = {"file_id": "anim", "file_unique_id": "A"}
    reply = bot_api.read_reply(200, message(animation=file, document={"file_id": "doc"}))
    assert (reply.file_id, reply.kind) == ("anim", "animation")


@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.PHOTO])
def test_every_kind_of_file_is_found_in_its_message(kind: Kind) -> None:
    reply = bot_api.read_reply(200, message(**{kind.value: {"file_id": "x", "file_unique_id": "u"}}))
    assert (reply.file_id, reply.kind) == ("x", kind.value)


@pytest.mark.parametrize(
    ("status", "body", "code", "permanent"),
    [
        (400, refusal(400, "Bad Request: chat not found"), ErrorCode.CHAT_UNAVAILABLE, False),
        (403, refusal(403, "Forbidden: bot was kicked"), ErrorCode.CHAT_UNAVAILABLE, False),
        (413, refusal(413, "Request Entity Too Large"), ErrorCode.TOO_LARGE, True),
        (413, b"<html>413</html>", ErrorCode.TOO_LARGE, True),
        (400, refusal(400, "Bad Request: file is too big"), ErrorCode.TOO_LARGE, True),
        (400, refusal(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"), ErrorCode.BAD_PHOTO, True),
        (400, refusal(400, "Bad Request: wrong file identifier"), ErrorCode.DESTINATION_REFUSED, True),
        (400, refusal(400, "Bad Request: Internal Server Error: 500"), ErrorCode.DESTINATION_UNAVAILABLE, False),
        (500, refusal(500, "Internal Server Error"), ErrorCode.DESTINATION_UNAVAILABLE, False),
        (502, b"<html>Bad Gateway</html>", ErrorCode.DESTINATION_UNAVAILABLE, False),
        (200, b'{"ok": true, "result": {"message_id"', ErrorCode.DESTINATION_UNAVAILABLE, False),
        (200, message(text="no file"), ErrorCode.DESTINATION_UNAVAILABLE, False),
        (200, message(video={"file_id": ""}), ErrorCode.DESTINATION_UNAVAILABLE, False),
        (200, b'{"ok": true, "result": true}', ErrorCode.DESTINATION_UNAVAILABLE, False),
        (200, refusal(500, "Internal"), ErrorCode.DESTINATION_UNAVAILABLE, False),
        (401, refusal(401, "Unauthorized"), ErrorCode.UNAUTHORIZED, False),
        (200, b"[" * 100_000, ErrorCode.DESTINATION_UNAVAILABLE, False),
    ],
)
def test_a_refusal_is_read_for_what_it_means(status: int, body: bytes, code: ErrorCode, permanent: bool) -> None:
    error = read(status, body)
    assert (error.code, error.permanent) == (code, permanent)


def test_a_429_says_how_long_to_wait_and_costs_no_attempt() -> None:
    error = read(429, refusal(429, "Too Many Requests: retry after 35", retry_after=35))
    assert error.code is ErrorCode.RATE_LIMITED
    assert error.retry_after_s == 35
    assert error.pauses_lane
    assert not error.counts


def test_a_proxys_429_without_json_is_obeyed_by_its_header() -> None:
    with pytest.raises(DestinationError) as caught:
        bot_api.read_reply(429, b"slow down", retry_after="12")
    assert caught.value.retry_after_s == 12


def test_a_revoked_token_pauses_the_bot_and_keeps_the_attempt() -> None:
    error = read(401, refusal(401, "Unauthorized"))
    assert error.pauses_destination
    assert not error.counts


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
file_keys = st.sampled_from(["photo", "animation", "document", "chat", "message_id"])


@given(result=st.dictionaries(file_keys, json_values, max_size=4) | json_values, ok=json_values)
def test_no_answer_at_all_makes_it_crash(result: object, ok: object) -> None:
    with contextlib.suppress(DestinationError):
        reply = bot_api.read_reply(200, json.dumps({"ok": ok, "result": result}).encode())
        assert reply.file_id


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"captoin": "x"}, "options.captoin: there is no such option; allowed: caption"),
        ({"caption": 5}, "options.caption: must be text"),
        ({"caption": "x" * 1025}, "options.caption: at most 1024"),
        ({"caption": "\ud800"}, "options.caption: must be valid"),
        ({"duration": True}, "options.duration: must be a whole number"),
        ({"duration": -1}, "options.duration: must be a whole number"),
        ({"has_spoiler": 1}, "options.has_spoiler: must be true or false"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        check_options(options)
    assert told in str(caught.value)


def test_only_the_options_that_the_method_knows_are_sent() -> None:
    options = {"caption": "Hi", "duration": 3, "supports_streaming": True}
    assert bot_api.form_fields(Kind.VIDEO_NOTE, -5, options) == [
        ("chat_id", "-5"),
        ("disable_notification", "true"),
        ("duration", "3"),
    ]
    assert ("supports_streaming", "true") in bot_api.form_fields(Kind.VIDEO, -5, options)


@pytest.mark.parametrize(
    ("lane", "named"),
    [
        ("-1001234567890/42", [("chat_id", "-1001234567890"), ("message_thread_id", "42")]),
        ("@warm_up/7", [("chat_id", "@warm_up"), ("message_thread_id", "7")]),
        ("-1001234567890", [("chat_id", "-1001234567890")]),
        (-1001234567890, [("chat_id", "-1001234567890")]),
        ("@warm_up", [("chat_id", "@warm_up")]),
        ("-1001234567890/1", [("chat_id", "-1001234567890")]),  # General: the server finds no thread of that number
    ],
)
@pytest.mark.parametrize("kind", list(Kind))
def test_a_topic_is_named_beside_its_chat_and_only_if_one_is_meant(
    lane: int | str, named: list[tuple[str, str]], kind: Kind
) -> None:
    fields = bot_api.form_fields(kind, lane, {})
    assert sorted(fields) == sorted([*named, ("disable_notification", "true")])


@given(key=st.text(min_size=1, max_size=1024) | st.text('./;\\"a\u202e\n', min_size=1, max_size=300))
def test_a_file_name_is_short_and_harmless_whatever_the_key(key: str) -> None:
    name = names.file_name(key, Kind.DOCUMENT)
    assert 0 < len(name) <= 200
    assert name.isprintable()
    assert not set(name) & set('/\\";')
    assert name.strip(". ")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("media/Фото 1.jpg", "Фото 1.jpg"),
        ("media/evil\\", "evil_"),
        ("media/a; name=thumbnail.mp4", "a_ name=thumbnail.mp4"),
        ("media/cod\u202egpj.exe", "cod_gpj.exe"),
        ("media/..", "document"),
        ("media/folder/", "folder"),
        ("x" * 300 + ".mp4", "x" * 196 + ".mp4"),
    ],
)
def test_a_file_is_named_as_its_object_is(key: str, name: str) -> None:
    assert names.file_name(key, Kind.DOCUMENT) == name


def test_limits_are_telegrams() -> None:
    assert bot_api.max_bytes(Kind.PHOTO, local_server=True) == 10_000_000
    assert bot_api.max_bytes(Kind.VIDEO, local_server=False) == 50_000_000
    assert bot_api.max_bytes(Kind.VIDEO, local_server=True) == 2_000_000_000


TOO_LONG = ["x" * 1025, "x" * 900_000]
CANARY_CODED = ["canary-0123456789", "canary%2D0123456789", "Y2FuYXJ5LTAxMjM0NTY3ODk="]


@pytest.mark.parametrize("name", ["file_id", "file_unique_id"])
@pytest.mark.parametrize("value", [*TOO_LONG, "a b", "é", "\x1b[2J", *CANARY_CODED])
def test_an_id_that_cannot_be_kept_is_refused_and_never_sent_again(name: str, value: str) -> None:
    body = message(document={"file_id": "AgAC", "file_unique_id": "u", name: value})
    with pytest.raises(DestinationError) as caught:
        bot_api.read_reply(200, body, redact=make_redactor(["canary-0123456789"]))
    assert caught.value.code is ErrorCode.DELIVERY_UNKNOWN
    assert caught.value.permanent  # another attempt would send the file once more, for the same answer
    assert name in caught.value.message
    assert len(caught.value.message) < 300
    assert "canary" not in caught.value.message


def test_an_id_as_long_as_is_allowed_is_kept_whole() -> None:
    reply = bot_api.read_reply(200, message(document={"file_id": "x" * 1024, "file_unique_id": "u"}))
    assert reply.file_id == "x" * 1024


def test_a_number_that_no_store_can_hold_is_not_kept() -> None:
    body = message(document={"file_id": "AgAC"}).replace(b'"ok"', b'"_": 0, "ok"')
    huge = json.loads(body)
    huge["result"] |= {"message_id": 10**30, "chat": {"id": -(10**30)}}
    reply = bot_api.read_reply(200, json.dumps(huge).encode())
    assert (reply.chat_id, reply.message_id) == (0, 0)
