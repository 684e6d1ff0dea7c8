"""What somebody at the dashboard loses without these: why nothing moves, at the top of the page, and what ends it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from streamwarm.send.telegram.refusals import read_error
from tests.worlds.dashboard import Live
from tests.worlds.visit import Visit, fits

pytestmark = pytest.mark.needs("chromium")

UNTIL = "2099-03-01T12:00:00.000Z"
REVOKED = {"until": UNTIL, "reason": "Telegram answered 401: Unauthorized", "by": "destination", "mendable": True}
NO_VOICE = {"until": UNTIL, "reason": "no rights to send voice\u202e notes", "by": "destination", "mendable": True}
KICKED = {"until": UNTIL, "reason": "bot was kicked", "by": "destination", "mendable": True}
COOLDOWN = {"until": UNTIL, "reason": "Telegram answered 429", "by": "destination"}
SOURCE = {"until": None, "reason": "SignatureDoesNotMatch", "by": "source"}


def chat(name: str, **more: Any) -> dict[str, Any]:
    return {"chat": name, "in_flight": 0, "last_minute": 0, "paused": None, **more}


def show(page: Page, *, source: Any = None, mybot: dict[str, Any] | None = None) -> None:
    """Show the service's stats as if this were paused too."""

    def answer(route: Route) -> None:
        stats = route.fetch().json()
        stats["source"]["paused"] = source
        stats["destinations"]["mybot"] |= mybot or {}
        route.fulfill(json=stats)

    page.unroute_all(behavior="wait")
    page.route("**/v1/stats", answer)


def test_a_paused_service_is_said_at_the_top_until_it_goes_on(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    expect(page.locator("#pauses")).to_be_hidden()
    live.ask("/v1/pause", {})
    expect(page.locator("#pauses")).to_have_text(
        "The whole service is paused: paused by a user. It goes on when resumed."
    )
    live.ask("/v1/pause", {"destination": "mybot"})
    expect(page.locator("#pauses li")).to_have_count(2)
    live.ask("/v1/resume", {})
    expect(page.locator("#pauses li")).to_have_count(1)
    expect(page.locator("#pauses")).to_contain_text("mybot is paused: paused by a user.")
    live.ask("/v1/resume", {"destination": "mybot"})
    expect(page.locator("#pauses")).to_be_hidden()


def test_the_bucket_a_bot_a_kind_and_a_chat_are_each_named_with_the_reason_and_what_ends_it(
    live: Live, visit: Visit, tmp_path: Path
) -> None:
    page = visit.sign_in(live.busy)
    chats = [chat("-1001", paused=KICKED), chat("-1002", refused={"voice": NO_VOICE}), chat("-1003", paused=COOLDOWN)]
    show(page, source=SOURCE, mybot={"chats": chats, "paused_kinds": {"video_note": NO_VOICE}})
    lines = page.locator("#pauses li")
    expect(lines).to_have_count(5)
    expect(lines.nth(0)).to_contain_text(
        "is paused: SignatureDoesNotMatch. It goes on once a probe of the bucket succeeds"
    )
    expect(lines.nth(1)).to_contain_text("video_note at mybot is paused: no rights to send voice\\u{202e} notes")
    expect(lines.nth(1)).to_contain_text("or when resumed after the cause is fixed")
    expect(lines.nth(2)).to_contain_text(
        "Chat -1001 of mybot is paused: bot was kicked. It is tried again at 1 Mar 2099"
    )
    expect(lines.nth(3)).to_contain_text("voice in chat -1002 of mybot is paused: no rights")
    expect(lines.nth(4)).to_contain_text("429. It is tried again at")
    expect(lines.nth(4)).not_to_contain_text("resumed")
    mybot = page.locator(".destination", has_text="mybot")
    expect(mybot.locator(".refused .pause")).to_contain_text("voice paused, ")
    expect(page.get_by_role("button", name="Resume mybot")).to_be_visible()
    page.screenshot(path=Path(os.environ.get("DASHBOARD_PICTURES", tmp_path)) / "pauses.png")
    show(page, mybot={"paused": REVOKED})
    expect(lines).to_have_text(
        ["mybot is paused: Telegram answered 401: Unauthorized. It is tried again at " + at(page)]
    )


def at(page: Page) -> str:
    return f"{page.evaluate(f'formatAt({UNTIL!r})')}, or when resumed after the cause is fixed."


def test_a_bot_of_which_every_chat_is_out_for_one_reason_is_one_line(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    show(page, mybot={"paused": KICKED, "chats": [chat("-1001", paused=KICKED)]})
    expect(page.locator("#pauses li")).to_have_count(1)
    refused = [chat("-1001", refused={"voice": NO_VOICE}), chat("-1002", refused={"voice": NO_VOICE})]
    show(page, mybot={"chats": refused, "paused_kinds": {"voice": NO_VOICE}})
    expect(page.locator("#pauses li")).to_have_count(1)
    expect(page.locator("#pauses")).to_contain_text("voice at mybot is paused")


def test_on_a_phone_a_pause_is_read_to_the_end_with_its_remedy_and_what_ends_it(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    page.set_viewport_size({"width": 360, "height": 780})
    words = "Forbidden: bot was kicked from the supergroup chat"
    long = {**KICKED, "reason": read_error(403, {"error_code": 403, "description": words}).message}
    show(page, mybot={"chats": [chat("-1001000000001", paused=long), chat("-1001000000002")]})
    for line in (page.locator("#pauses li"), page.locator(".destination .pause", has_text="kicked")):
        expect(line).to_have_count(1)
        assert line.evaluate("line => line.scrollHeight <= line.clientHeight")


def test_a_hundred_paused_chats_leave_the_page_in_sight(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    show(page, mybot={"chats": [chat(f"-100{number}", paused=KICKED) for number in range(100)]})
    expect(page.locator("#pauses li")).to_have_count(6)
    expect(page.locator("#pauses-more")).to_have_text("and 94 more: see the destinations")
    page.set_viewport_size({"width": 360, "height": 780})
    assert fits(page)
    show(page)
    expect(page.locator("#pauses")).to_be_hidden()


def test_how_long_what_waits_takes_is_promised_only_while_nothing_is_paused(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    limits = {"messages_per_minute": 20, "chats": 1}
    shown = page.locator(".destination", has_text="mybot").locator(".limits")
    show(page, mybot={"limits": limits, "eta_s": 30_000})
    expect(shown).to_have_text("at most 20 messages a minute · about 8 h 20 min for what waits")
    show(page, mybot={"limits": limits, "eta_s": None, "paused": REVOKED})
    expect(shown).to_have_text("at most 20 messages a minute")
