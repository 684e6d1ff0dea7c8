"""What an operator loses without these: a wrong setting that is noticed, and explained, before it does harm."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from streamwarm.errors import SettingsError
from streamwarm.settings.destinations import secrets_in
from streamwarm.settings.load import load_settings
from streamwarm.settings.schema import Address, Settings
from streamwarm.settings.telegram import TelegramSettings


def load(text: str, tmp_path: Path, environ: dict[str, str] | None = None, **flags: object) -> Settings:
    file = tmp_path / "streamwarm.toml"
    file.write_text(text)
    return load_settings(file, environ=environ or {}, flags=flags)


def problem(text: str, tmp_path: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, tmp_path, environ)
    return str(caught.value)


def telegram_bots(settings: Settings) -> dict[str, TelegramSettings]:
    return {name: found for name, found in settings.destinations.items() if isinstance(found, TelegramSettings)}


def test_no_file_at_all_gives_the_contracts_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(environ={})
    assert str(settings.serve.listen) == "127.0.0.1:8787"
    assert str(settings.serve.http) == "127.0.0.1:8788"
    assert settings.serve.drain_s == 30
    assert settings.store.url == "sqlite:///streamwarm.db"
    queue = settings.queue
    assert (queue.workers, queue.max_queue, queue.max_pending, queue.max_attempts) == (5, 500, 100_000, 5)
    assert (queue.max_wait_s, queue.lease_s) == (900, 30)
    assert (queue.keep_done_s, queue.keep_failed_s) == (7 * 86400, 30 * 86400)
    pool = settings.pool
    assert (pool.connections, pool.keepalive_s) == (50, 150)
    assert (pool.connect_timeout_s, pool.headers_timeout_s, pool.body_timeout_s) == (10, 30, 60)
    assert settings.signing.key_ttl_s == 82800
    assert (settings.cache.ttl_s, settings.cache.max_entries, settings.cache.max_bytes) == (300, 50, 1 << 30)
    assert settings.r2.region == "auto"


def test_a_flag_beats_the_environment_and_that_beats_the_file(tmp_path: Path) -> None:
    text = "[queue]\nworkers = 1\nmax_queue = 1\nmax_pending = 1\n"
    environ = {"STREAMWARM_QUEUE_WORKERS": "2", "STREAMWARM_QUEUE_MAX_QUEUE": "2"}
    queue = load(text, tmp_path, environ, **{"queue.workers": 3}).queue
    assert (queue.workers, queue.max_queue, queue.max_pending) == (3, 2, 1)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text("[queue]\nworkers = 9\n")
    assert load_settings(environ={"STREAMWARM_CONFIG": str(file)}).queue.workers == 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[queue]\nworkres = 5\n", ["streamwarm.toml", "queue.workres", "queue.workers"]),
        ("[queue]\nworkers = 'five'\n", ["streamwarm.toml", "queue.workers", "whole number"]),
        ("[queue]\nworkers = 0\n", ["streamwarm.toml", "queue.workers", "at least 1"]),
        ("[queue]\nworkers = 1.5\n", ["queue.workers", "whole number"]),
        ("[queue]\nworkers = true\n", ["queue.workers", "whole number"]),
        ("[queue]\nlease_s = nan\n", ["queue.lease_s", "at least 1"]),
        ("[serve]\ndrain_s = inf\n", ["serve.drain_s", "finite"]),
        ("[serve]\nlisten = '127.0.0.1'\n", ["serve.listen", "HOST:PORT"]),
        ("[serve]\nlisten = '127.0.0.1:99999'\n", ["serve.listen", "65535"]),
        ("[store]\nurl = 'mysql://x'\n", ["store.url", "sqlite:///PATH"]),
        ("[r2]\nendpoint_url = 'ftp://x'\n", ["r2.endpoint_url", "https://"]),
        ("[log]\nformat = 'xml'\n", ["log.format", "console"]),
        ("[sevre]\nlisten = 'x'\n", ["sevre.listen", "serve.listen"]),
        ("queue = 3\n", ["queue", "no such setting"]),
        ("[quueu]\n", ["quueu", "no such setting"]),
        ("[queue\n", ["streamwarm.toml", "TOML"]),
        ("[destinations.My_Bot]\ntype = 'telegram'\n", ["My_Bot", "lower-case"]),
        ("[auth]\ntokens = ['']\n", ["auth.tokens", "empty"]),
    ],
)
def test_a_wrong_setting_names_its_file_its_key_and_what_is_allowed(text: str, told: list[str], tmp_path: Path) -> None:
    message = problem(text, tmp_path)
    assert [word for word in told if word not in message] == []


def test_a_wrong_environment_variable_is_told_as_well(tmp_path: Path) -> None:
    assert "the environment: STREAMWARM_QUEUE_WORKERS (queue.workers): must be" in problem(
        "", tmp_path, {"STREAMWARM_QUEUE_WORKERS": "many"}
    )
    assert "queue.wrokers" in problem("", tmp_path, {"STREAMWARM_QUEUE_WROKERS": "5"})


def test_what_kubernetes_puts_into_the_environment_is_no_error(tmp_path: Path) -> None:
    environ = {"STREAMWARM_SERVICE_HOST": "10.0.0.1", "STREAMWARM_PORT": "tcp://10.0.0.1:8787"}
    assert load("", tmp_path, environ).queue.workers == 5


def test_secrets_come_from_files_and_never_show_in_a_repr(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cr3t-of-the-bucket\n")
    (tmp_path / "tokens").write_text("token-one\ntoken-two\n")
    (tmp_path / "bot").write_text("123456:BOT-TOKEN\n")
    settings = load(
        f"[r2]\nsecret_access_key_file = '{tmp_path}/key'\n[auth]\ntokens_file = '{tmp_path}/tokens'\n"
        f"[destinations.b]\ntype = 'telegram'\ntoken_file = '{tmp_path}/bot'\nchats = [-100]\n",
        tmp_path,
    )
    assert settings.r2.secret_access_key == "s3cr3t-of-the-bucket"
    assert settings.auth.tokens == ("token-one", "token-two")
    assert secrets_in(settings.destinations) == ["123456:BOT-TOKEN"]
    assert "s3cr3t" not in repr(settings)
    assert "token-one" not in repr(settings)
    assert "BOT-TOKEN" not in repr(settings.destinations)


def test_a_bad_value_of_a_destination_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"streamwarm\.toml: \[destinations\.b\] chats: must name"):
        load("[destinations.b]\ntype = 'telegram'\ntoken = '1:AAA'\nchats = []\n", tmp_path)


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    text = f"[r2]\nsecret_access_key = 'y'\nsecret_access_key_file = '{tmp_path}/key'\n"
    assert "secret_access_key and secret_access_key_file are both set" in problem(text, tmp_path)


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    message = problem(f"[r2]\nsecret_access_key_file = '{tmp_path}/nowhere'\n", tmp_path)
    assert "secret_access_key_file" in message
    assert "nowhere" in message


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("type = 'telegramm'", "type: must be one of: telegram"),
        ("type = 'telegram'\nchats = [1]", "token: is required"),
        ("type = 'telegram'\ntoken = \"1:CANARY\\nSECRET\"\nchats = [1]", "token: has a space, line break"),
        ("type = 'telegram'\ntoken = '1:CANARY/SECRET'\nchats = [1]", "token: must look like"),
        ("type = 'telegram'\ntoken = '1:CANARY-SECRET'\nchats = ['a chat']", "chats: each must be a chat's number"),
        ("type = 'telegram'\ntoken = '1:CANARY-SECRET'\nchats = []", "chats: must name at least one"),
        ("type = 'telegram'\ntoken = '1:CANARY-SECRET'\nchats = [1]\nbase_url = 'https://u:p@h'", "base_url: must be"),
        ("type = 'telegram'\ntoken = '1:CANARY-SECRET'\nchats = [1]\nchat = 2", "chat: there is no such setting"),
        ("type = 'telegram'\ntoken = '1:CANARY-SECRET'\nchats = [1]\non_unknown = 'x'", "on_unknown: must be one of"),
    ],
)
def test_a_wrong_destination_is_refused_by_name_and_without_its_secret(table: str, told: str, tmp_path: Path) -> None:
    message = problem(f"[destinations.mybot]\n{table}\n", tmp_path)
    assert f"[destinations.mybot] {told}" in message
    assert "CANARY" not in message


def test_a_destinations_secret_may_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"STREAMWARM_DESTINATIONS_MY_BOT_TOKEN": "1:FROM-ENV"}
    settings = load("[destinations.my-bot]\ntype = 'telegram'\nchats = [1]\n", tmp_path, environ)
    assert secrets_in(settings.destinations) == ["1:FROM-ENV"]


def test_a_destination_whose_name_begins_like_anothers_keeps_its_own_environment(tmp_path: Path) -> None:
    names = ("my", "my-bot", "my_bot_two")
    tables = "".join(f"[destinations.{n}]\ntype = 'telegram'\ntoken = '1:{n}'\nchats = [1]\n" for n in names)
    environ = {
        "STREAMWARM_DESTINATIONS_MY_BOT_TWO_ON_UNKNOWN": "hold",
        "STREAMWARM_DESTINATIONS_MY_BOT_TOKEN": "1:FROM-ENV",
        "STREAMWARM_DESTINATIONS_MY_CHATS": "-5,-6",
    }
    bots = telegram_bots(load(tables, tmp_path, environ))
    assert [bots[name].on_unknown for name in names] == ["retry", "retry", "hold"]
    assert [bots[name].token for name in names] == ["1:my", "1:FROM-ENV", "1:my_bot_two"]
    assert bots["my"].chats == ("-5", "-6")


def test_a_destination_may_be_set_by_the_environment_alone(tmp_path: Path) -> None:
    environ = {
        "STREAMWARM_DESTINATIONS_NEW_BOT_TYPE": "telegram",
        "STREAMWARM_DESTINATIONS_NEW_BOT_TOKEN": "1:FROM-ENV",
        "STREAMWARM_DESTINATIONS_NEW_BOT_CHATS": "-100",
    }
    [(name, bot)] = telegram_bots(load("", tmp_path, environ)).items()
    assert (name, bot.chats) == ("new_bot", ("-100",))


def test_a_variable_that_belongs_to_no_destination_is_told(tmp_path: Path) -> None:
    text = "[destinations.mybot]\ntype = 'telegram'\n"
    message = problem(text, tmp_path, {"STREAMWARM_DESTINATIONS_MYBOTT_TOKEN": "1:CANARY"})
    assert "the environment: STREAMWARM_DESTINATIONS_MYBOTT_TOKEN: " in message
    assert "mybot" in message
    assert "CANARY" not in message
    assert "(configured: mybot);" in problem(text, tmp_path, {"STREAMWARM_DESTINATIONS_TYPE": "telegram"})


def test_a_bad_value_of_a_destination_from_the_environment_is_told_with_its_variable(tmp_path: Path) -> None:
    text = "[destinations.my-bot]\ntype = 'telegram'\ntoken = '1:A'\nchats = [1]\n"
    for key, value, told in (("ON_UNKNOWN", "drop", "must be one of"), ("NONSENSE", "x", "there is no such setting")):
        name = f"STREAMWARM_DESTINATIONS_MY_BOT_{key}"
        with pytest.raises(SettingsError, match=rf"^the environment: {name} .*\[destinations\.my-bot\].*{told}"):
            load(text, tmp_path, {name: value})


def test_an_ipv6_address_is_read_and_written() -> None:
    assert Address.parse("[::1]:80") == Address("::1", 80)
    assert str(Address("::1", 80)) == "[::1]:80"
    assert Address("::1", 80).is_loopback
    assert Address("localhost", 80).is_loopback
    assert not Address("0.0.0.0", 80).is_loopback


def test_the_supervisors_members_get_the_settings_as_they_were_read(tmp_path: Path) -> None:
    settings = load(
        "[destinations.bot]\ntype = 'telegram'\ntoken = '1:CANARY'\nchats = [1]\n"
        "[destinations.cdn]\ntype = 'http'\nurl = 'https://h.example/{r2_key}'\nheaders = { X-Key = 'CANARY' }\n",
        tmp_path,
    )
    received = pickle.loads(pickle.dumps(settings))
    assert received == settings
    assert "CANARY" not in repr(received)
