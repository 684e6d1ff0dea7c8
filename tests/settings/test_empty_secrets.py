"""What an operator loses without these: a service that lets everybody in because a secret was not filled in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.errors import SettingsError
from streamwarm.settings.load import load_settings
from streamwarm.settings.schema import Settings
from tests.worlds.command_line import cli

BLANKS = ["", " ", "\t", "\n\n", " \r\n ", "\x0b", "\x1f", ",", " , ,\n,"]


def load(text: str, folder: Path, environ: dict[str, str] | None = None) -> Settings:
    file = folder / "streamwarm.toml"
    file.write_text(text)
    return load_settings(file, environ=environ or {})


def problem(text: str, folder: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, folder, environ)
    return str(caught.value)


@pytest.mark.parametrize("blank", BLANKS)
def test_empty_tokens_of_the_environment_never_open_a_service_that_its_file_guards(blank: str, tmp_path: Path) -> None:
    for text in ("", '[auth]\ntokens = ["right-token"]\n'):
        message = problem(text, tmp_path, {"STREAMWARM_AUTH_TOKENS": blank})
        assert "STREAMWARM_AUTH_TOKENS (auth.tokens): has no token in it" in message


@pytest.mark.parametrize(
    "value", ["[]", '""', "'  '", '[""]', '[" "]', '["\\u0000"]', '["\\u200b"]', '["a", ""]', "','"]
)
def test_empty_tokens_of_the_file_never_open_a_service(value: str, tmp_path: Path) -> None:
    assert "auth.tokens" in problem(f"[auth]\ntokens = {value}\n", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *(blank.encode() for blank in BLANKS),
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\n",
        b"# none yet\n",
        b"\n  #a\n#b\n",
        b"\0",
        b"\xff",
    ],
)
def test_a_file_of_tokens_without_a_token_never_opens_a_service(content: bytes, tmp_path: Path) -> None:
    place = tmp_path / "tokens"
    place.write_bytes(content)
    by_file = problem(f"[auth]\ntokens_file = '{place}'\n", tmp_path)
    by_variable = problem("", tmp_path, {"STREAMWARM_AUTH_TOKENS_FILE": str(place)})
    for message in (by_file, by_variable):
        assert "tokens_file" in message
        assert str(place) in message


@pytest.mark.parametrize("name", ["", "  ", "missing", ".", "/dev/null", "~nobody-of-that-name/tokens", "a\0b"])
def test_a_file_of_tokens_that_is_no_file_never_opens_a_service(name: str, tmp_path: Path) -> None:
    place = str(tmp_path / name) if name in {"missing", "."} else name
    assert "tokens_file" in problem("", tmp_path, {"STREAMWARM_AUTH_TOKENS_FILE": place}).lower()


def test_a_file_of_tokens_may_have_comments_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    place = tmp_path / "tokens"
    place.write_bytes(b"\xef\xbb\xbf# the bot's\r\nfirst\r\n\r\n  # the page's\r\nsecond\r\n")
    assert load(f"[auth]\ntokens_file = '{place}'\n", tmp_path).auth.tokens == ("first", "second")


@given(st.text(alphabet=" \t\r\n,\x0b\x0c\x1c\x1f\x85", max_size=12))
def test_whatever_blank_text_tokens_are_set_to_it_is_refused(blank: str) -> None:
    with pytest.raises(SettingsError, match=r"auth\.tokens"):
        load_settings(environ={"STREAMWARM_AUTH_TOKENS": blank, "STREAMWARM_CONFIG": "/dev/null"})


@pytest.mark.parametrize("token", ["${TOKEN}", "$TOKEN", "a-${TOKEN}"])
def test_a_variable_that_nothing_filled_in_is_not_a_token_that_everybody_can_guess(token: str, tmp_path: Path) -> None:
    assert "auth.tokens: has a variable in it" in problem(f'[auth]\ntokens = ["{token}"]\n', tmp_path)


def test_no_tokens_at_all_and_an_empty_section_are_still_allowed(tmp_path: Path) -> None:
    assert load("", tmp_path).auth.tokens == load("[auth]\n", tmp_path).auth.tokens == ()


BOT = "[destinations.bot]\ntype = 'telegram'\nchats = [1]\n"
S3 = "[destinations.copy]\ntype = 's3'\nendpoint_url = 'http://h:1'\nbucket = 'b'\n"
HTTP = "[destinations.cdn]\ntype = 'http'\nurl = 'https://h.example/{r2_key}'\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[r2]\nsecret_access_key = ''\n", "r2.secret_access_key: is set and empty"),
        (f"{BOT}token = ''\n", "[destinations.bot] token: must look like"),
        (f"{S3}access_key_id = ''\nsecret_access_key = 's'\n", "[destinations.copy] access_key_id: must not be empty"),
        (
            f"{S3}access_key_id = 'i'\nsecret_access_key = ''\n",
            "[destinations.copy] secret_access_key: must not be empty",
        ),
        (f"{HTTP}headers = {{ X-Key = '' }}\n", "[destinations.cdn] headers: has no value in X-Key"),
        (f"{HTTP}headers = {{ Authorization = 'Bearer' }}\n", "headers: has no value in Authorization"),
        (f"{HTTP}headers = {{ Authorization = 'Bearer ' }}\n", "[destinations.cdn] headers: has a space"),
        (f"{HTTP}headers = {{ Authorization = 'Bearer ${{KEY}}' }}\n", "headers: has a variable in it"),
        (f"{HTTP}headers = ''\n", "[destinations.cdn] headers: is set and empty"),
    ],
)
def test_a_secret_that_is_set_and_empty_is_named(text: str, told: str, tmp_path: Path) -> None:
    assert told in problem(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("[r2]\nsecret_access_key_file = 'FILE'\n", "secret_access_key_file"),
        (f"{BOT}token_file = 'FILE'\n", "token_file"),
        (f"{S3}access_key_id = 'i'\nsecret_access_key_file = 'FILE'\n", "secret_access_key_file"),
        (f"{HTTP}headers_file = 'FILE'\n", "headers_file"),
    ],
)
def test_an_empty_file_of_a_secret_is_named(text: str, setting: str, tmp_path: Path) -> None:
    place = tmp_path / "secret"
    place.write_text(" \n")
    assert f"{setting}: {place}: " in problem(text.replace("FILE", str(place)), tmp_path)


def test_an_empty_variable_of_a_secret_is_named(tmp_path: Path) -> None:
    environ = {"STREAMWARM_DESTINATIONS_BOT_TOKEN": ""}
    assert "STREAMWARM_DESTINATIONS_BOT_TOKEN" in problem(f"{BOT}token = '1:AAA'\n", tmp_path, environ)
    assert "STREAMWARM_R2_SECRET_ACCESS_KEY" in problem("", tmp_path, {"STREAMWARM_R2_SECRET_ACCESS_KEY": ""})


@pytest.mark.parametrize(
    "command",
    [
        *(["serve"], ["serve", "--sandbox"], ["demo"], ["sandbox"], ["check"], ["migrate"], ["status"], ["jobs"]),
        *(["push", "a.png"], ["find", "bot", "photo", "a.png"], ["pause"], ["resume"]),
    ],
)
async def test_every_command_refuses_tokens_that_are_set_and_empty(command: list[str], tmp_path: Path) -> None:
    config = tmp_path / "streamwarm.toml"
    config.write_text(f"[auth]\ntokens = ''\n[store]\nurl = 'sqlite:///{tmp_path}/s.db'\n")
    told = await cli(*command, "--config", str(config))
    assert (told.code, "auth.tokens" in told.err) == (2, True)
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("token", ["", " ", "a\nb", "\x1b"])
async def test_a_client_is_told_that_its_token_is_none(token: str) -> None:
    told = await cli("status", "--url", "ws://127.0.0.1:1/", "--token", token)
    assert (told.code, "--token" in told.err) == (2, True)
