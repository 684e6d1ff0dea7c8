"""What a user loses without these: a video with its thumbnail, and where to read what Telegram made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.command_line import cli
from tests.worlds.scripted_bot_api import jpeg, scripted_bot_api
from tests.worlds.service import CHAT, TOKEN, put, running_service, settings_for
from tests.worlds.stream import content

VIDEO = content(400_000)
PICTURE = jpeg(320, 180, 30_000)
SQUARE = {"file_id": "AgAC", "file_unique_id": "u", "width": 320, "height": 320, "duration": 0}


async def test_a_job_its_event_and_its_record_say_what_telegram_made_of_the_file(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"m/clip": VIDEO}, content_type="video/mp4")
    await put(object_store, {"m/t.jpg": PICTURE}, content_type="image/jpeg")
    async with scripted_bot_api(file=SQUARE) as api:
        table: dict[str, Any] = {"type": "telegram", "token": TOKEN, "chats": [CHAT], "base_url": api.base_url}
        table |= {"rates": "none", "defaults": {"thumbnail": "m/t.jpg", "caption": "by default"}}
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": table})
        async with running_service(settings) as world:
            job = {"destination": "mybot", "kind": "video", "r2_key": "m/clip"}
            [pushed] = (await world.push(job))["accepted"]
            done = await world.outcome(pushed["id"])
            assert done["state"] == "done"
            # The defaults are merged when the object is sent: the job is kept as it was pushed.
            assert done["options"] == {}
            (sent,) = api.sent
            assert sent.length == sent.body_bytes
            assert sent.fields["caption"] == "by default"
            assert sent.files["attached_thumbnail"].content == PICTURE
            assert (sent.files["video"].name, sent.files["video"].content) == ("clip.mp4", VIDEO)

            media = {"width": 320, "height": 320, "duration": 0, "has_thumbnail": False}
            warnings = ["no_dimensions", "no_thumbnail"]
            async with httpx.AsyncClient(base_url=world.endpoints.http) as http:
                record = (await http.get("/v1/media/mybot/video/m/clip")).json()
                events = (await http.get(f"/v1/jobs/{pushed['id']}")).json()
            for result in (done["result"], record["result"], events["result"]):
                assert (result["media"], result["warnings"]) == (media, warnings)
            assert (record["media"], record["warnings"]) == (media, warnings)
            [again] = (await world.push(job))["accepted"]
            assert (again["duplicate"], again["result"]["warnings"]) == (True, warnings)

            shown = await cli("jobs", "show", pushed["id"], "--url", world.endpoints.websocket)
            assert "warning: no_dimensions: name width" in shown.out
            assert "warning: no_thumbnail: " in shown.out
            [described] = (await cli("jobs", "show", pushed["id"], "--json", "--url", world.endpoints.websocket)).json()
            assert described["result"]["media"] == media
