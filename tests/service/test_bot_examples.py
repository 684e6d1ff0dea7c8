"""The examples in docs/bots.md, run as they stand: whoever copies one must get a bot that works."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from pathlib import Path

import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.service import CHAT, TOKEN, put, running_emulator, running_service, settings_for, telegram_table

BOTS = Path(__file__).parents[2] / "docs" / "bots.md"
EXAMPLES = dict(re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", BOTS.read_text(encoding="utf-8"), re.DOTALL))
KEY = "bots/a clip/№ 1%2F+?#.mp4"
"""A name that must arrive as it is."""


def test_there_is_one_for_each_library() -> None:
    assert set(EXAMPLES) == {"with_aiogram.py", "with_python_telegram_bot.py", "with_node.mjs"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.needs("node")) if name.endswith(".mjs") else name for name in EXAMPLES],
)
async def test_an_example_sends_cold_media_warm_media_and_media_whose_id_went_bad(
    name: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {KEY: name.encode() * 1000})
    program = tmp_path / name
    program.write_text(EXAMPLES[name], encoding="utf-8")
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        async with running_service(settings) as world:
            environ = {
                **{name: value for name, value in os.environ.items() if not name.startswith("STREAMWARM_")},
                "NO_PROXY": "127.0.0.1",
                "STREAMWARM_HTTP_URL": world.endpoints.http,
                "BOT_API_URL": emulator.base_url,
                "BOT_TOKEN": TOKEN,
                "CHAT_ID": str(CHAT),
                "KIND": "video",
                "KEY": KEY,
            }
            command = ["node" if name.endswith(".mjs") else sys.executable, str(program)]

            async def run() -> list[str]:
                """Where what the example sent came from: by upload for warming, by `file_id` for the chat."""
                before = len(emulator.deliveries)
                with trio.fail_after(120):  # aiogram takes 4 s of a core to be imported
                    ended = await trio.run_process(command, env=environ, capture_stdout=True)
                assert int(ended.stdout) > 0
                return [delivery.origin for delivery in emulator.deliveries[before:]]

            assert await run() == ["upload", "file_id"]
            spoil(tmp_path / "s.db")
            assert await run() == ["upload", "file_id"]
            assert await run() == ["file_id"]


def spoil(database: Path) -> None:
    """Make the recorded `file_id` one that Telegram does not know."""
    connection = sqlite3.connect(database, timeout=30)
    [(result,)] = connection.execute("SELECT result FROM media_cache WHERE status = 'ready'").fetchall()
    bad = json.dumps({**json.loads(result), "file_id": "AgACAgIAAxkBAAIBbad"})
    connection.execute("UPDATE media_cache SET result = ? WHERE status = 'ready'", (bad,))
    connection.commit()
    connection.close()
