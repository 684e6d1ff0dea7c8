"""A video that Telegram does not measure is sent with its true size and length: what it is given it keeps for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwarm.sandbox.object_store import ObjectStore
from tests.video import boxes
from tests.worlds.service import put, running_emulator, running_service, settings_for, telegram_table

SIZE = (1080, 1920)
PORTRAIT = boxes.moov(
    boxes.trak(header=boxes.tkhd(1, 7400, SIZE), description=boxes.stsd(SIZE)), header=boxes.mvhd(7400)
)
HOLE = bytes(11_000_000)
INDEX_FIRST = boxes.ftyp() + PORTRAIT + boxes.box("mdat", HOLE)
INDEX_LAST = boxes.ftyp() + boxes.box("mdat", HOLE) + PORTRAIT
TRUE = {"width": 1080, "height": 1920, "duration": 7}
SQUARE = {"width": 320, "height": 320, "duration": 0}


async def warmed(object_store: ObjectStore, folder: Path, content: bytes, **table: Any) -> dict[str, Any]:
    """What Telegram made of this video, and the warnings."""
    await put(object_store, {"v/clip.mp4": content}, content_type="video/mp4")
    options = table.pop("options", {})
    async with running_emulator() as emulator:
        settings = settings_for(object_store, folder / "s.db", {"mybot": telegram_table(emulator, **table)})
        async with running_service(settings) as world:
            job = {"destination": "mybot", "kind": "video", "r2_key": "v/clip.mp4", "options": options}
            done = await world.outcome((await world.push(job))["accepted"][0]["id"])
    assert done["state"] == "done", done
    media = done["result"]["media"]
    return {name: media.get(name) for name in TRUE} | {"warnings": done["result"]["warnings"]}


@pytest.mark.parametrize(("content", "warnings"), [(INDEX_FIRST, []), (INDEX_LAST, ["index_at_end"])])
async def test_a_portrait_video_over_ten_megabytes_is_no_square(
    content: bytes, warnings: list[str], object_store: ObjectStore, tmp_path: Path
) -> None:
    assert await warmed(object_store, tmp_path, content) == TRUE | {"warnings": warnings}


async def test_what_the_job_names_wins(object_store: ObjectStore, tmp_path: Path) -> None:
    options = {"width": 90, "height": 160}
    found = await warmed(object_store, tmp_path, INDEX_FIRST, options=options)
    assert found == options | {"duration": 7, "warnings": []}


@pytest.mark.parametrize("content", [HOLE, boxes.ftyp() + boxes.box("moov", HOLE, size=2**31)])
async def test_what_cannot_be_read_is_sent_as_it_is_with_a_warning(
    content: bytes, object_store: ObjectStore, tmp_path: Path
) -> None:
    assert await warmed(object_store, tmp_path, content) == SQUARE | {"warnings": ["no_dimensions"]}


async def test_nothing_is_read_if_the_bots_probe_is_off(object_store: ObjectStore, tmp_path: Path) -> None:
    found = await warmed(object_store, tmp_path, INDEX_FIRST, probe="off")
    assert found == SQUARE | {"warnings": ["no_dimensions"]}
