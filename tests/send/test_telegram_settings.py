"""What a user loses without these: a typing error in the configuration that shows only at the first send."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarm.errors import SettingsError
from streamwarm.settings.destinations import parse_destinations

GOOD: dict[str, Any] = {"type": "telegram", "token": "123456:CANARY-SECRET_x", "chats": [-1001234567890]}
PLAIN_URL = "must be a plain URL such as https://api.telegram.org"
CHAT = "each must be a chat's number"
NO_TOPICS = (
    *("-1001/", "-1001/0", "-1001/042", "-1001/-1", "-1001/x", "-1001/4.2", "-1001/42/43", "-1001//42", "/42", "42/"),
    *("-1001 /42", "-1001/ 42", "-1001/42\n", f"-1001/{10**11}", "@a/42", "-1001:42", "-1001_42", "-1001/\uff14"),
)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("token", "1:CANARY\nX-Evil: 1", "has a space, line break"),
        ("token", "1:CANARY\r", "has a space, line break"),
        ("token", "1:CANARY/../getMe", "must look like 123456:ABC-DEF"),
        ("token", "CANARY", "must look like 123456:ABC-DEF"),
        ("token", "1:2:CANARY", "must look like 123456:ABC-DEF"),
        ("token", "bot1:CANARY", "must look like 123456:ABC-DEF"),
        ("token", "", "must look like 123456:ABC-DEF"),
        ("chats", ["CANARY chat"], CHAT),
        ("chats", ["-100CANARY"], CHAT),
        ("chats", ["-1001\n"], CHAT),
        ("chats", [0], CHAT),
        ("chats", [10**30], CHAT),
        ("chats", ["@a;CANARY"], CHAT),
        ("chats", [-1, "-1"], "must not name a chat twice"),
        ("chats", ["@Warm_Up", "@warm_up"], "must not name a chat twice"),
        ("chats", [], "at least one"),
        *(("chats", [chat], 'a topic of it stands behind a slash, such as "-1001234567890/42"') for chat in NO_TOPICS),
        ("chats", [-1001, "-1001/42", "-1001/42"], "must not name a chat twice"),
        ("base_url", "https://user:CANARY@host", PLAIN_URL),
        ("base_url", "https://@host", PLAIN_URL),
        ("base_url", "https://host\n.evil", PLAIN_URL),
        ("base_url", "https://host?x=CANARY", PLAIN_URL),
        ("base_url", "https://host/?", PLAIN_URL),
        ("base_url", "https://host/#", PLAIN_URL),
        ("base_url", "https://host\\@evil", PLAIN_URL),
        ("base_url", "https://host:99999", PLAIN_URL),
        ("base_url", "https://host:0", PLAIN_URL),
        ("base_url", "https://[", PLAIN_URL),
        ("base_url", "https://\u202ehost", PLAIN_URL),
        ("base_url", "https:// host", PLAIN_URL),
        ("base_url", "file:///etc/passwd", PLAIN_URL),
        ("handoff", "always", "must be one of: never, auto"),
        ("handoff_unverified", "perhaps", "must be true or false"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_at_the_start_and_not_repeated(key: str, value: Any, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_destinations({"mybot": {**GOOD, key: value}})
    assert f"[destinations.mybot] {key}: " in str(refused.value)
    assert told in str(refused.value)
    assert "CANARY" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base_url", "http://127.0.0.1:8081"),
        ("base_url", "http://[::1]:8081/"),
        ("base_url", "https://bot-api.example.com/telegram"),
        ("base_url", "http://bot_api:8081"),
        ("chats", [-1001234567890, "@warm_up", 42]),
        ("chats", "-1001,-1002"),
        ("chats", ["-1001234567890/42"]),
        ("chats", [-1001234567890, "-1001234567890/1", "-1001234567890/42", "@warm_up/7", "42/7"]),
        ("chats", "-1001/42,-1001/43"),
    ],
)
def test_what_people_run_is_taken(key: str, value: Any) -> None:
    parse_destinations({"mybot": {**GOOD, key: value}})
