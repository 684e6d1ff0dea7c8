"""What an operator loses without these: a host or port that cannot be, refused at the start by its setting's name
(fault 41). Found later, it would cost every job, or the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarm.errors import SettingsError
from streamwarm.settings.load import load_settings

BAD_AUTHORITIES = [
    ".r2.cloudflarestorage.com",
    "a..b:9000",
    "xn--a:9000",
    "xn--ls8h.example:9000",
    "..",
    "a.b..",
    "a" * 64 + ".example",
    ".".join(["abcdefgh"] * 32),
    "host:0",
    "host:-1",
    "host:99999",
    "host:port",
    "a b",
    "a_b%20c",
    "256.1.1.1",
    "[::1",
    "[::g]:80",
    "exa\u00admple..com",
    "",
]
GOOD_AUTHORITIES = [
    "localhost:9000",
    "127.0.0.1",
    "[::1]:9000",
    "a-b.example",
    "minio_1:9000",
    "host.",
    "1.example:65535",
]

TABLES = {
    "r2.endpoint_url": "[r2]\nendpoint_url = 'https://{}'\n",
    "[destinations.x] endpoint_url": (
        "[destinations.x]\ntype = 's3'\nendpoint_url = 'http://{}'\nbucket = 'b'\n"
        "access_key_id = 'i'\nsecret_access_key = 's'\n"
    ),
    "[destinations.x] url": "[destinations.x]\ntype = 'http'\nurl = 'http://{}/{{r2_key}}'\nallow_private = true\n",
    "[destinations.x] base_url": (
        "[destinations.x]\ntype = 'telegram'\ntoken = '1:A'\nchats = [1]\nbase_url = 'http://{}'\n"
    ),
}


def load(text: str, tmp_path: Path) -> None:
    file = tmp_path / "streamwarm.toml"
    file.write_text(text, encoding="utf-8")
    load_settings(file, environ={})


@pytest.mark.parametrize("authority", BAD_AUTHORITIES)
@pytest.mark.parametrize("setting", TABLES)
def test_a_host_that_no_resolver_takes_is_refused_by_its_settings_name(
    setting: str, authority: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(TABLES[setting].format(authority), tmp_path)
    assert setting in str(caught.value)


@pytest.mark.parametrize("authority", GOOD_AUTHORITIES)
@pytest.mark.parametrize("setting", TABLES)
def test_a_host_that_can_be_is_taken(setting: str, authority: str, tmp_path: Path) -> None:
    load(TABLES[setting].format(authority), tmp_path)


@pytest.mark.parametrize(
    "listen", ["a..b:80", ".:80", "127.0.0.1:99999", "127.0.0.1:-1", ":80", "127.0.0.1", "300.1.1.1:80"]
)
@pytest.mark.parametrize("setting", ["listen", "http"])
def test_an_address_to_listen_on_that_cannot_be_is_refused(setting: str, listen: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"serve.{setting}: must be HOST:PORT"):
        load(f"[serve]\n{setting} = '{listen}'\n", tmp_path)


@pytest.mark.parametrize("account_id", ["a..b", "a/b", ".a", "a b", "abc.def.ghi", "x" * 64])
def test_an_account_that_makes_no_host_is_refused(account_id: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"r2\.account_id"):
        load(f"[r2]\naccount_id = '{account_id}'\n", tmp_path)
