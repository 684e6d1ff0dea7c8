"""The requests in docs/sandbox.md, sent as they stand: whoever copies one must see the sandbox do it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import httpx

from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.sandbox.sandbox import CHATS, Sandbox
from tests.worlds.service import TOKEN, running_emulator

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
BOT_OF_THE_PAGE = "400042378"


async def test_every_request_of_the_page_is_understood() -> None:
    requests = re.findall(r"^curl .*$", PAGE.read_text(), re.MULTILINE)
    assert len(requests) >= 10
    async with running_emulator(chats=tuple(CHATS)) as emulator, httpx.AsyncClient(trust_env=False) as http:
        for line in requests:
            words = shlex.split(
                line.replace("$BOT_API", emulator.base_url).replace(BOT_OF_THE_PAGE, TOKEN.split(":")[0])
            )
            url = next(word for word in words if word.startswith("http"))
            body = words[words.index("-d") + 1] if "-d" in words else None
            method = "DELETE" if "DELETE" in words else "GET" if body is None else "POST"
            answer = await http.request(method, url, content=body)
            assert answer.json()["ok"], (line, answer.text)


async def test_the_settings_that_the_sandbox_prints_name_its_chats_and_where_they_are_made_to_refuse() -> None:
    async with running_emulator() as emulator:
        printed = Sandbox(ObjectStore("http://127.0.0.1:1", "media", "key", "secret"), emulator, TOKEN).as_toml()
        assert tomllib.loads(printed)["destinations"]["mybot"]["chats"] == [next(iter(CHATS))]
        assert all(str(chat) in printed for chat in CHATS)
        assert f"{emulator.base_url}/sandbox/" in printed
        assert "docs/sandbox.md" in printed
