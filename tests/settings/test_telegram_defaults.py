"""What a user loses without these: a typing error in a bot's `defaults` that shows only at the first send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwarm.errors import SettingsError
from streamwarm.settings.destinations import parse_destinations
from streamwarm.settings.load import load_settings
from streamwarm.settings.telegram import TelegramSettings

BOT: dict[str, Any] = {"type": "telegram", "token": "123456:CANARY-SECRET_x", "chats": [-1001]}


def defaults_of(table: dict[str, Any]) -> object:
    settings = parse_destinations({"mybot": table})["mybot"]
    assert isinstance(settings, TelegramSettings)
    return settings.defaults


def test_a_bot_without_defaults_has_none() -> None:
    assert defaults_of(BOT) == {}


@pytest.mark.parametrize(
    "defaults",
    [
        {"supports_streaming": True, "caption": "© Ann", "thumbnail": "logo.jpg", "width": 640, "height": 360},
        {"file_name": "x" * 5000, "length": 240, "disable_content_type_detection": True, "fallback": "document"},
        {},
    ],
)
def test_every_option_of_a_job_may_be_a_default(defaults: dict[str, Any]) -> None:
    assert defaults_of({**BOT, "defaults": defaults}) == defaults


@pytest.mark.parametrize(
    ("defaults", "told"),
    [
        ({"captoin": "x"}, "captoin: there is no such option; allowed: caption"),
        ({"width": "640"}, "width: must be a whole number"),
        ({"width": -1}, "width: must be a whole number"),
        ({"thumbnail": ""}, "thumbnail: must be the key of a JPEG object"),
        ({"caption": "x" * 1025}, "caption: at most 1024 characters"),
        ({"length": 1000}, "length: at most 640"),
        ("supports_streaming", "must be a table"),
        ("[1]", "must be a table"),
        ('{"width": }', "must be a table"),
        ("[" * 100_000, "must be a table"),
        (["caption"], "must be a table"),
        (7, "must be a table"),
    ],
)
def test_a_default_that_cannot_work_is_refused_at_the_start(defaults: object, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_destinations({"mybot": {**BOT, "defaults": defaults}})
    assert str(refused.value).startswith("[destinations.mybot] defaults: ")
    assert told in str(refused.value)
    assert "CANARY" not in str(refused.value)


def test_they_stand_in_the_file_as_a_table_and_in_the_environment_as_json(tmp_path: Path) -> None:
    file = tmp_path / "streamwarm.toml"
    file.write_text(
        "[destinations.mybot]\ntype = 'telegram'\ntoken = '1:AAA'\nchats = [-1001]\n"
        "[destinations.mybot.defaults]\nsupports_streaming = true\ncaption = 'from the file'\n"
    )

    def caption(environ: dict[str, str]) -> object:
        settings = load_settings(file, environ=environ, flags={}).destinations["mybot"]
        assert isinstance(settings, TelegramSettings)
        return settings.defaults["caption"]

    assert caption({}) == "from the file"
    assert caption({"STREAMWARM_DESTINATIONS_MYBOT_DEFAULTS": '{"caption": "é"}'}) == "é"
