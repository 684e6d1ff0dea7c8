"""What a user reads when `store.url` cannot be used as it is, and that its password is read by nobody."""

from __future__ import annotations

import sys

import pytest
from attrs import evolve

from streamwarm.errors import SettingsError
from streamwarm.service.machine import real_machine
from streamwarm.service.open import open_store
from streamwarm.settings.schema import Settings, StoreSettings
from streamwarm.settings.secrets import secrets_in_settings


def with_store(url: str) -> Settings:
    return evolve(Settings(), store=StoreSettings(url=url))


async def test_postgres_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("streamwarm.backlog.postgres.store")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("streamwarm.backlog.postgres.store", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"pip install 'streamwarm\[postgres\]'"):
        async with open_store(with_store("postgresql://localhost/jobs"), real_machine()):
            raise AssertionError("it opened")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%40ss%2Fword@db.example/jobs",
        "postgresql://db.example/jobs?user=me&password=p%40ss%2Fword",
    ],
)
def test_the_password_of_a_store_is_a_secret_as_it_is_written_and_as_it_is_meant(url: str) -> None:
    assert "p@ss/word" in secrets_in_settings(with_store(url))


def test_an_address_that_nobody_can_read_is_a_secret_as_a_whole() -> None:
    url = "postgresql://me:hunter22@[::1/jobs"
    assert {url, "hunter22"} <= set(secrets_in_settings(with_store(url)))


def test_a_password_with_bare_marks_is_a_secret_and_so_is_each_part_that_a_parser_makes_of_it() -> None:
    found = secrets_in_settings(with_store("postgresql://sw:p@ssword/w:rd@host/db"))
    assert {"p@ssword/w:rd", "ssword"} <= set(found)
