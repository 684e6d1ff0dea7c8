"""What an operator loses without `check` and `migrate`: learning before the first job that a setting is wrong."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio
from attrs import evolve

from streamwarm.backlog.shared_limits import SourcePause
from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.operator import operating
from tests.worlds.processes import write_config
from tests.worlds.scripted_bucket import answering, rig
from tests.worlds.service import (
    CHAT,
    TOKEN,
    running_emulator,
    telegram_table,
)


async def test_check_proves_bucket_clock_bot_chats_and_store(object_store: ObjectStore, tmp_path: Path) -> None:
    async with running_emulator() as emulator:
        config = write_config(tmp_path, object_store, {"mybot": telegram_table(emulator, handoff="auto")})
        good = await cli("check", "--json", "--config", str(config))
        assert good.code == 0, good.out
        assert [(line["check"], line["ok"]) for line in good.json()] == [
            ("store", True),
            ("bucket", True),
            ("clock", True),
            ("mybot: bot", True),
            (f"mybot: chat {CHAT}", True),
            ("mybot: hand-off", True),
        ]
        assert not (tmp_path / "streamwarm.db").exists()

        wrong = {
            "mybot": telegram_table(emulator, chats=[CHAT, -77]),
            "nobot": telegram_table(emulator, token="1:nobody"),
        }
        bad = evolve(object_store, secret_access_key="wrong-secret")
        config = write_config(tmp_path, bad, wrong)
        told = await cli("check", "--config", str(config))
        assert told.code == 1
        listing = await cli("push", "--prefix", "x", "--config", str(config), *("--url", "ws://127.0.0.1:1/"))
        assert listing.code == 3
        rows = {row[1]: row for row in (line.split("\t") for line in told.out.splitlines())}
        assert {what for what, row in rows.items() if row[0] == "FAILED"} == {
            *("bucket", "mybot: chat -77", "nobot: bot", f"nobot: chat {CHAT}"),
        }
        assert "@BotFather" in rows["nobot: bot"][2]
        assert rows[f"nobot: chat {CHAT}"][2] == "not asked: the bot itself failed, see its line"
        for secret in ("wrong-secret", TOKEN, "1:nobody"):
            assert secret not in told.out + told.err


async def test_check_asks_for_a_topics_chat_and_names_the_topic(object_store: ObjectStore, tmp_path: Path) -> None:
    async with running_emulator() as emulator:
        table = telegram_table(emulator, chats=[f"{CHAT}/42", "-77/5", CHAT, f"{CHAT}/1"])
        config = write_config(tmp_path, object_store, {"mybot": table})
        lines = {line["check"]: line for line in (await cli("check", "--json", "--config", str(config))).json()}
        assert lines[f"mybot: chat {CHAT}/42"]["ok"]
        assert not lines["mybot: chat -77/5"]["ok"]
        assert "chat not found" in lines["mybot: chat -77/5"]["detail"]
        assert lines[f"mybot: chat {CHAT}"]["ok"]
        assert not lines[f"mybot: chat {CHAT}/1"]["ok"]
        assert f"it is the same chat as {CHAT}" in lines[f"mybot: chat {CHAT}/1"]["detail"]


async def test_check_of_nothing_names_what_is_missing(tmp_path: Path) -> None:
    config = tmp_path / "streamwarm.toml"
    config.write_text(f"[store]\nurl = 'sqlite:///{tmp_path}/nowhere/s.db'\n")
    told = await cli("check", "--config", str(config))
    assert told.code == 1
    for words in ("nowhere", "r2.bucket", "[destinations.mybot]"):
        assert words in told.out
    config.write_text("[store]\nulr = 1\n")
    assert (await cli("check", "--config", str(config))).code == 2


async def test_migrations_that_start_together_make_one_schema_also_beside_a_service(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(migrate_ok, url)
    with sqlite3.connect(tmp_path / "s.db") as database:
        versions = [version for (version,) in database.execute("SELECT version FROM schema_migrations")]
    database.close()
    assert versions == sorted(set(versions))
    async with operating(object_store, tmp_path):
        assert (await cli("migrate", "--store", url)).code == 0
    refused = await cli("migrate", "--store", f"sqlite:///{tmp_path}/nowhere/s.db")
    assert (refused.code, "folder exists" in refused.err) == (3, True)


async def migrate_ok(url: str) -> None:
    process = await trio.run_process(
        [sys.executable, "-m", "streamwarm", "migrate", "--json", "--store", url], capture_stdout=True
    )
    assert json.loads(process.stdout)["schema_version"] >= 1


@pytest.mark.parametrize(
    "date",
    [
        "Thu, 99999999999999999999 Jan 2026 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999999999",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "Thu, 01 Jan 1970 00:00:00 +9999999",
        "soon",
        "",
    ],
)
async def test_a_check_survives_a_bucket_with_an_absurd_date(date: str, tmp_path: Path) -> None:
    listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    async with rig(answering(200, listing, date=date)) as bucket:
        config = tmp_path / "streamwarm.toml"
        config.write_text(
            f"[r2]\nendpoint_url = '{bucket.endpoint_url}'\nbucket = 'media'\naccess_key_id = 'i'\n"
            f"secret_access_key = 's'\n[store]\nurl = 'sqlite:///{tmp_path}/s.db'\n"
        )
        told = await cli("check", "--json", "--config", str(config))
    clock = next(line for line in told.json() if line["check"] == "clock")
    assert clock["ok"] in {True, False}
    assert "Traceback" not in told.out + told.err


async def test_check_tells_of_a_paused_bucket_and_changes_nothing(object_store: ObjectStore, tmp_path: Path) -> None:
    config = write_config(tmp_path, object_store, {})
    assert (await cli("migrate", "--config", str(config))).code == 0
    pause = SourcePause("the server answered 403 ExpiredToken", since=1_772_366_405.0)
    with closing(sqlite3.connect(tmp_path / "streamwarm.db", isolation_level=None)) as store:
        store.execute("INSERT INTO leases VALUES ('source', 'holder', 9e9, ?)", (pause.as_place(),))
        before = "\n".join(store.iterdump())
        told = await cli("check", "--json", "--config", str(config))
        assert "\n".join(store.iterdump()) == before
    (found,) = [line for line in told.json() if line["check"] == "bucket: pause"]
    for words in ("ExpiredToken", "2026-03-01T12:00:05", "streamwarm resume"):
        assert words in found["detail"]


async def test_check_says_whose_the_references_are_and_finds_another_bot_behind_the_token(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    other = answering(200, json.dumps({"ok": True, "result": {"id": 777, "username": "theirs"}}).encode())
    async with running_emulator() as emulator, rig(other) as api:
        theirs = telegram_table(emulator, base_url=api.endpoint_url)
        tables = {"mine": telegram_table(emulator), "theirs": theirs}
        ended = await cli("check", "--json", "--config", str(write_config(tmp_path, object_store, tables)))
    lines = {line["check"]: line for line in ended.json()}
    assert lines["mine: bot"]["ok"]
    assert "account 4242" in lines["mine: bot"]["detail"]
    assert not lines["theirs: bot"]["ok"]
    assert "4242" in lines["theirs: bot"]["detail"]
    assert "777" in lines["theirs: bot"]["detail"]
