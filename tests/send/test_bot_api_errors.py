"""A refusal read wrongly costs a user a job that would have passed, or an evening of repeating one that cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.errors import LONGEST_WAIT_S, DestinationError, ErrorCode, LaneMoved
from streamwarm.send.telegram.refusal_table import ROWS, Verdict, row_of
from streamwarm.send.telegram.refusals import read_error

# Telegram's own words, as the open server composes them or as users report them.
WORDS = [
    (429, "Too Many Requests: retry after 35", Verdict.COOLDOWN),
    (401, "Unauthorized", Verdict.PAUSE_BOT),
    (401, "Unauthorized: invalid token specified", Verdict.PAUSE_BOT),
    (421, "Misdirected Request: unallowed token specified", Verdict.PAUSE_BOT),
    (404, "Not Found", Verdict.PAUSE_BOT),
    (404, "404 page not found", Verdict.PAUSE_BOT),
    (404, "Not Found: method not found", Verdict.PAUSE_KIND),
    (404, "Not Found: chat not found", Verdict.PAUSE_CHAT),
    (400, "Bad Request: SLOWMODE_WAIT_30", Verdict.COOLDOWN),
    (420, "FLOOD_WAIT_3600", Verdict.COOLDOWN),
    (500, "Internal Server Error: FLOOD_WAIT_77", Verdict.COOLDOWN),
    (400, "Bad Request: too Many Requests: retry after 9", Verdict.COOLDOWN),
    (400, "Bad Request: AUTH_KEY_UNREGISTERED", Verdict.PAUSE_BOT),
    (406, "Not Acceptable: AUTH_KEY_DUPLICATED", Verdict.PAUSE_BOT),
    (400, "Bad Request: ALLOW_PAYMENT_REQUIRED_5", Verdict.PAUSE_CHAT),
    (402, "Payment Required: PAYMENT_REQUIRED", Verdict.PAUSE_CHAT),
    (400, "Bad Request: PRIVACY_PREMIUM_REQUIRED", Verdict.PAUSE_CHAT),
    (400, "Bad Request: TOPIC_CLOSED", Verdict.PAUSE_CHAT),
    (400, "Bad Request: TOPIC_DELETED (caused by SendMediaRequest)", Verdict.PAUSE_CHAT),
    (400, "Bad Request: chat doesn't have topics", Verdict.PAUSE_CHAT),
    (400, "Bad Request: can't access the topic", Verdict.PAUSE_CHAT),
    (400, "Bad Request: invalid forum topic identifier specified", Verdict.PAUSE_CHAT),
    (400, "Bad Request: chat is not accessible", Verdict.PAUSE_CHAT),
    (400, "Bad Request: INPUT_USER_DEACTIVATED", Verdict.PAUSE_CHAT),
    (400, "BAD REQUEST: NOT ENOUGH RIGHTS TO SEND MUSIC TO THE CHAT (sendAudio)", Verdict.PAUSE_KIND),
    (400, "Bad Request: dimensions of the photo are too big", Verdict.PERMANENT),
    (403, "Forbidden: group chat was upgraded to a supergroup chat", Verdict.MIGRATE),
    (406, "Not Acceptable: FROZEN_METHOD_INVALID", Verdict.PAUSE_BOT),
    (400, "Bad Request: FROZEN_METHOD_INVALID", Verdict.PAUSE_BOT),
    (400, "Logged out", Verdict.PAUSE_BOT),
    (401, "Unauthorized: invalid api-id/api-hash", Verdict.PAUSE_BOT),
    (400, "Bad Request: group chat was upgraded to a supergroup chat", Verdict.MIGRATE),
    (403, "Forbidden: bot was kicked from the supergroup chat", Verdict.PAUSE_CHAT),
    (403, "Forbidden: bot is not a member of the channel chat", Verdict.PAUSE_CHAT),
    (403, "Forbidden: bot was blocked by the user", Verdict.PAUSE_CHAT),
    (403, "Forbidden: the group chat was deleted", Verdict.PAUSE_CHAT),
    (403, "Forbidden: bot can't initiate conversation with a user", Verdict.PAUSE_CHAT),
    (400, "Bad Request: chat not found", Verdict.PAUSE_CHAT),
    (400, "Bad Request: not enough rights to send photos to the chat", Verdict.PAUSE_KIND),
    (400, "Bad Request: not enough rights to send voice notes to the chat", Verdict.PAUSE_KIND),
    (403, "Forbidden: not enough rights to send video notes to the chat", Verdict.PAUSE_KIND),
    (400, "Bad Request: VOICE_MESSAGES_FORBIDDEN", Verdict.PAUSE_KIND),
    (400, "Bad Request: user restricted receiving of voice messages", Verdict.PAUSE_KIND),
    (400, "Bad Request: not enough rights to send text messages to the chat", Verdict.PAUSE_CHAT),
    (400, "Bad Request: CHAT_SEND_MEDIA_FORBIDDEN", Verdict.PAUSE_CHAT),
    (400, "Bad Request: have no rights to send a message", Verdict.PAUSE_CHAT),
    (400, "Bad Request: CHAT_GUEST_SEND_FORBIDDEN", Verdict.PAUSE_CHAT),
    (400, "Bad Request: message thread not found", Verdict.PAUSE_CHAT),
    (400, "Bad Request: have no write access to the chat", Verdict.PAUSE_CHAT),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", Verdict.PAUSE_CHAT),
    (400, "Bad Request: CHAT_SEND_VIDEOS_FORBIDDEN", Verdict.PAUSE_KIND),
    (500, "Internal Server Error: sent message was immediately deleted and can't be returned", Verdict.PAUSE_CHAT),
    (413, "Request Entity Too Large", Verdict.PERMANENT),
    (400, "Bad Request: file is too big", Verdict.PERMANENT),
    (400, "Bad Request: PHOTO_INVALID_DIMENSIONS", Verdict.PERMANENT),
    (400, "Bad Request: IMAGE_PROCESS_FAILED", Verdict.PERMANENT),
    (400, "Bad Request: dimensions of the photo are too big", Verdict.PERMANENT),
    (400, "Bad Request: photo has unsupported extension. Use one of .jpg, .jpeg, .gif, .png", Verdict.PERMANENT),
    (400, "Bad Request: file must be non-empty", Verdict.PERMANENT),
    (400, "Bad Request: message caption is too long", Verdict.PERMANENT),
    (400, "Bad Request: wrong file identifier/HTTP URL specified", Verdict.PERMANENT),
    (400, "Bad Request: FILE_PART_5_MISSING", Verdict.RETRY),
    (400, "Bad Request: WORKER_BUSY_TOO_LONG_RETRY", Verdict.RETRY),
    (400, "Bad Request: failed to reupload file", Verdict.RETRY),
    (400, "Bad Request: SOMETHING_NEW_HAPPENED", Verdict.UNKNOWN),
    (400, "Bad Request: something in words", Verdict.UNKNOWN),
    (409, "Conflict: something else", Verdict.UNKNOWN),
    (402, "", Verdict.UNKNOWN),
    (500, "Internal Server Error: restart", Verdict.RETRY),
    (502, "Bad Gateway", Verdict.RETRY),
    (200, "", Verdict.RETRY),
]


def read(code: int, description: str, **parameters: Any) -> DestinationError:
    return read_error(code, {"error_code": code, "description": description, "parameters": parameters})


@pytest.mark.parametrize(("code", "description", "outcome"), WORDS)
def test_telegrams_words_are_read_for_what_follows(code: int, description: str, outcome: Verdict) -> None:
    assert row_of(code, description).verdict is outcome
    error = read(code, description)
    assert description in error.message
    assert error.permanent is (outcome is Verdict.PERMANENT)
    assert error.counts is (outcome in {Verdict.PERMANENT, Verdict.RETRY, Verdict.UNKNOWN})


def test_every_rule_is_reached_and_names_its_source() -> None:
    reached = {row_of(code, description) for code, description, _ in WORDS}
    assert set(ROWS) <= reached
    assert all(row.source for row in ROWS)
    assert all(row.remedy for row in ROWS if row.verdict in {Verdict.PAUSE_BOT, Verdict.PAUSE_CHAT, Verdict.PAUSE_KIND})


@pytest.mark.parametrize(
    ("code", "description", "told", "not_told"),
    [
        (401, "Unauthorized", "@BotFather", "api-id"),
        (401, "Unauthorized: invalid api-id/api-hash", "https://my.telegram.org", "@BotFather"),
        (400, "Bad Request: API_ID_INVALID", "https://my.telegram.org", "@BotFather"),
        (400, "Bad Request: API_ID_PUBLISHED_FLOOD", "https://my.telegram.org", "@BotFather"),
        (400, "Logged out", "set base_url to the server that it moved to", "@BotFather"),
        (401, "Unauthorized: logged out", "set base_url to the server that it moved to", "@BotFather"),
        (400, "Bad Request: FROZEN_METHOD_INVALID", "its owner can appeal", "@BotFather"),
        (420, "FROZEN_PARTICIPANT_MISSING", "its owner can appeal", "@BotFather"),
        (421, "Misdirected Request: unallowed token specified", "--filter", "@BotFather"),
    ],
)
def test_a_bot_that_is_out_keeps_its_jobs_and_the_remedy_is_the_one_that_fits(
    code: int, description: str, told: str, not_told: str
) -> None:
    error = read(code, description)
    assert (error.code, error.pauses_destination, error.counts) == (ErrorCode.UNAUTHORIZED, True, False)
    assert told in error.message
    assert not_told not in error.message


@pytest.mark.parametrize(
    "description", ["Bad Request: TOPIC_CLOSED", "Bad Request: TOPIC_DELETED", "Bad Request: message thread not found"]
)
def test_a_topic_that_is_out_is_not_blamed_on_the_bots_rights(description: str) -> None:
    error = read(400, description)
    assert error.pauses_lane
    assert "topic" in error.message.partition(";")[2]
    assert "right" not in error.message


def test_unknown_words_come_with_what_to_check() -> None:
    assert "check the file, and the bot's rights in the chat" in read(400, "Bad Request: SOMETHING_NEW").message


@pytest.mark.parametrize("answer", [{"error_code": 413, "description": "Request Entity Too Large"}, {}])
def test_a_body_over_the_servers_limit_names_the_limits_and_the_setting_that_raises_them(
    answer: dict[str, Any],
) -> None:
    error = read_error(413, answer)
    assert (error.code, error.permanent) == (ErrorCode.TOO_LARGE, True)
    for told in ("413", "client_max_body_size", "2000 MB", "50 MB"):
        assert told in error.message


@pytest.mark.parametrize(
    ("code", "description"),
    [
        (400, "Bad Request: not enough rights to send voice notes to the chat"),
        (400, "Bad Request: VOICE_MESSAGES_FORBIDDEN"),
        (403, "Forbidden: not enough rights to send video notes to the chat"),
        (400, "Bad Request: CHAT_SEND_PHOTOS_FORBIDDEN"),
        (403, "Forbidden: CHAT_SEND_DOCS_FORBIDDEN"),
    ],
)
def test_a_chat_that_refuses_one_kind_is_in_use_for_the_others(code: int, description: str) -> None:
    error = read(code, description)
    assert (error.code, error.pauses_kind, error.pauses_lane) == (ErrorCode.CHAT_UNAVAILABLE, True, False)
    assert "add a chat to `chats` that takes it" in error.message


@pytest.mark.parametrize(
    ("code", "description", "told"),
    [
        (403, "Forbidden: bot was blocked by the user", "press Start"),
        (403, "Forbidden: bot can't initiate conversation with a user", "press Start"),
        (403, "Forbidden: user is deactivated", "name another in `chats`"),
        (403, "Forbidden: the group chat was deleted", "name another in `chats`"),
        (403, "Forbidden: bot is not a member of the channel chat", "add the bot to the warm-up chat"),
        (400, "Bad Request: TOPIC_CLOSED", "open that topic again"),
        (400, "Bad Request: message thread not found", "name a topic that the chat has"),
        (400, "Bad Request: ALLOW_PAYMENT_REQUIRED_5", "charges for messages"),
        (404, "Not Found", "base_url"),
        (404, "Not Found: method not found", "update it"),
        (400, "Bad Request: file is too big", "local_server = true"),
        (400, "Bad Request: dimensions of the photo are too big", "resize it"),
    ],
)
def test_what_a_person_can_do_about_a_refusal_fits_its_cause(code: int, description: str, told: str) -> None:
    assert told in read(code, description).message


def test_a_wait_that_only_the_words_name_is_kept_and_costs_no_attempt() -> None:
    for code, words, seconds in (
        (400, "Bad Request: SLOWMODE_WAIT_30", 30),
        (420, "FLOOD_WAIT_3599", 3599),
        (500, "Internal Server Error: FLOOD_PREMIUM_WAIT_7", 7),
        (429, "Too Many Requests: retry after 35", 35),
    ):
        error = read_error(code, {"error_code": code, "description": words})
        assert (error.retry_after_s, error.counts, error.pauses_lane) == (seconds, False, True)


def test_a_429_that_a_chats_own_limits_explain_is_that_chats_and_a_penalty_is_the_bots() -> None:
    """A group in slow mode takes a bot's next message after an hour at most."""
    for seconds, of_the_chat in ((1, True), (60, True), (3599, True), (3600, False), (10_072, False)):
        error = read(429, "Too Many Requests", retry_after=seconds)
        assert (error.pauses_lane, error.pauses_destination) == (of_the_chat, not of_the_chat)
        assert error.retry_after_s == seconds
    assert read_error(429, {}, retry_after="12").pauses_destination  # a proxy's: of nobody's chat


@pytest.mark.parametrize("seconds", [10**12, float("inf"), float("nan"), -5, 0, True, "7", None, [1], 10**400])
def test_an_absurd_wait_is_none(seconds: Any) -> None:
    error = read(429, "Too Many Requests", retry_after=seconds)
    assert error.retry_after_s is not None
    assert 1.0 <= error.retry_after_s <= LONGEST_WAIT_S


@pytest.mark.parametrize("words", ["Bad Request: group chat was upgraded", "Bad Request: it is elsewhere now", ""])
def test_a_chat_that_names_its_new_id_is_followed_in_whatever_words(words: str) -> None:
    assert isinstance(read(400, words, migrate_to_chat_id=-1001234), LaneMoved)


def test_a_chat_that_was_upgraded_names_its_new_id_or_is_set_aside() -> None:
    description = "Bad Request: group chat was upgraded to a supergroup chat"
    moved = read(400, description, migrate_to_chat_id=-1001234)
    assert isinstance(moved, LaneMoved)
    assert (moved.address, moved.counts) == ("-1001234", False)
    for wrong in (None, 0, "x", True, 2**70, [-5]):
        error = read(400, description, migrate_to_chat_id=wrong)
        assert not isinstance(error, LaneMoved)
        assert (error.code, error.pauses_lane) == (ErrorCode.CHAT_UNAVAILABLE, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["error_code", "description", "parameters", "ok"])


@given(status=st.integers(200, 599), answer=st.dictionaries(MEMBERS, json_values), header=st.none() | st.text())
def test_no_refusal_at_all_makes_it_crash(status: int, answer: dict[str, Any], header: str | None) -> None:
    error = read_error(status, json.loads(json.dumps(answer)), retry_after=header)
    assert error.message
