"""What a newcomer loses without these: one command that shows it working, and does not say so when it is not."""

from __future__ import annotations

import json
from pathlib import Path

from streamwarm.cli.demo import _wrong_deliveries
from streamwarm.model import Kind
from streamwarm.sandbox.library import MadeObject, demo_library
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.sandbox.sandbox import Sandbox
from tests.worlds.processes import run_cli
from tests.worlds.service import OTHER_TOKEN, running_emulator


async def test_the_demo_warms_its_library_and_checks_every_byte(tmp_path: Path) -> None:
    config = tmp_path / "streamwarm.toml"
    config.write_text('[auth]\ntokens = ["not-for-the-demo"]\n')
    shown = await run_cli("demo", "--json", "--config", str(config))
    assert shown.returncode == 0, shown.stderr
    *jobs, summary = [json.loads(line) for line in shown.stdout.splitlines()]
    library = demo_library()
    assert {job["r2_key"] for job in jobs} == {made.r2_key for made in library}
    assert {job["state"] for job in jobs} == {"done"}
    assert {made.kind for made in library} == set(Kind)
    assert max(job["result"]["bytes"] for job in jobs) > 100_000_000
    assert (summary["done"], summary["digests_checked"], summary["digests_wrong"]) == (len(library), len(library), [])


async def test_an_object_that_was_not_delivered_as_it_is_fails_the_demo() -> None:
    made = MadeObject("a.bin", Kind.DOCUMENT, "application/octet-stream", 1000)
    async with running_emulator() as emulator:
        store = ObjectStore("http://127.0.0.1:1", "media", "key", "secret")
        assert _wrong_deliveries([made], Sandbox(store, emulator, OTHER_TOKEN)) == ["a.bin"]
