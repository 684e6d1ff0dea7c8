"""What somebody at the dashboard loses without these: whether a reference is of the object as it is, and a new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, expect

from tests.worlds.dashboard import Live
from tests.worlds.visit import Visit, content, fits

pytestmark = pytest.mark.needs("chromium")


def warm(live: Live, page: Page, key: str, **more: Any) -> Locator:
    """Warm an object, look it up, and return the place of its record."""
    live.put({key: content(key)})
    live.push({"r2_key": key, **more})
    expect(page.locator("#jobs tr", has_text=key.rpartition("/")[2]).locator(".badge")).to_have_text("done")
    return look_up(page, key)


def look_up(page: Page, reference: str) -> Locator:
    page.get_by_label("Kind").select_option("document")
    page.get_by_label("Object key or SHA-256").fill(reference)
    page.keyboard.press("Enter")
    expect(page.locator("#found .result")).to_contain_text(reference)
    return page.locator("#found")


def reference_of(found: Locator) -> str:
    return found.locator(".reference code").inner_text()


def answering(page: Page, change: Callable[[dict[str, Any]], None]) -> None:
    """Show records as if they had been changed so."""

    def answer(route: Route) -> None:
        if route.request.method != "GET":
            route.fallback()
            return
        record = route.fetch().json()
        change(record)
        route.fulfill(json=record)

    page.route("**/v1/media/**", answer)


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat().replace("+00:00", "Z")


def test_a_replaced_object_is_refreshed_from_the_keyboard_and_its_new_reference_is_shown(
    live: Live, visit: Visit
) -> None:
    page = visit.sign_in(live.busy)
    found = warm(live, page, "records/replaced.bin", options={"caption": "kept"})
    expect(found.locator(".badge")).to_have_text(["warm", "current"])
    before = reference_of(found)
    live.put({"records/replaced.bin": content("another version")})
    page.get_by_role("button", name="Refresh records/replaced.bin").focus()
    page.keyboard.press("Enter")
    expect(found.locator(".news")).to_have_text("Warmed anew: this is the new reference.")
    assert reference_of(found) != before
    expect(found.locator(".badge")).to_have_text(["warm", "current"])
    expect(found.locator(".facts")).to_contain_text('{"caption":"kept"}')
    assert page.evaluate("document.activeElement.dataset.act") == "refresh"


def test_an_object_that_is_as_it_was_keeps_its_reference_unless_it_is_to_be_warmed_anew(
    live: Live, visit: Visit
) -> None:
    page = visit.sign_in(live.busy)
    found = warm(live, page, "records/same.bin")
    media = "/v1/media/mybot/document/records%2Fsame.bin"
    before = live.ask(media)
    page.get_by_role("button", name="Refresh records/same.bin").click()
    expect(found.locator(".news")).to_have_text("Unchanged: the bucket has the version that is recorded.")
    assert live.ask(media)["warmed_at"] == before["warmed_at"]
    page.get_by_role("button", name="Warm records/same.bin anew").click()
    expect(found.locator(".news")).to_have_text("Warmed anew: this is the new reference.")
    assert live.ask(media)["warmed_at"] > before["warmed_at"]


def test_an_object_that_was_deleted_is_said_to_be_gone_and_its_reference_stays(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    found = warm(live, page, "records/deleted.bin")
    before = reference_of(found)
    live.delete("records/deleted.bin")
    page.get_by_role("button", name="Refresh records/deleted.bin").click()
    expect(found.locator(".badge")).to_have_text(["warm", "gone"])
    expect(found.locator(".news")).to_contain_text("The job ended failed. source_not_found: ")
    assert reference_of(found) == before
    expect(page.locator("#tile-records-note")).to_contain_text("gone")
    expect(page.locator(".destination", has_text="mybot").locator(".records")).to_contain_text(" warm · 1 gone")


def test_a_job_that_waits_is_followed_until_a_paused_destination_goes_on(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    found = warm(live, page, "records/waits.bin")
    before = reference_of(found)
    live.ask("/v1/pause", {"destination": "mybot"})
    page.get_by_role("button", name="Warm records/waits.bin anew").click()
    expect(found.locator(".news")).to_have_text("The object is being warmed anew. The job is queued.")
    assert reference_of(found) == before
    live.ask("/v1/resume", {"destination": "mybot"})
    expect(found.locator(".news")).to_have_text("Warmed anew: this is the new reference.")


def test_a_record_is_forgotten_only_after_a_second_press_and_can_be_kept(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    found = warm(live, page, "records/forgotten.bin")
    page.get_by_role("button", name="Forget records/forgotten.bin").focus()
    page.keyboard.press("Enter")
    expect(found.locator(".sure")).to_have_text("Forget it? Look-ups find nothing until it is warm again.")
    page.keyboard.press("Enter")  # the focus is on what keeps it
    expect(found.locator(".sure")).to_have_count(0)
    assert live.ask("/v1/media/mybot/document/records%2Fforgotten.bin")["source_state"] == "current"
    page.get_by_role("button", name="Forget records/forgotten.bin").click()
    page.get_by_role("button", name="Yes, forget records/forgotten.bin").click()
    expect(found).to_contain_text("not warm at this destination")
    expect(found.locator(".news")).to_have_text("Forgotten. The next push warms it again.")
    page.get_by_role("button", name="Push records/forgotten.bin").click()
    expect(found.locator(".news")).to_have_text("Warm now.")
    expect(found.locator(".badge")).to_have_text(["warm", "current"])


def test_a_page_that_was_left_open_forgets_no_newer_reference(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    warm(live, page, "records/newer.bin")
    live.put({"records/newer.bin": content("newer version")})
    live.push({"r2_key": "records/newer.bin", "refresh": "always"})
    expect(page.locator("#jobs tr", has_text="newer.bin").locator(".badge")).to_have_text(["done", "done"])
    page.get_by_role("button", name="Forget records/newer.bin").click()
    page.get_by_role("button", name="Yes, forget records/newer.bin").click()
    expect(page.locator("#banner")).to_contain_text("nothing was dropped; look it up again")
    assert live.ask("/v1/media/mybot/document/records%2Fnewer.bin")["file_id"]


def test_age_warnings_version_and_another_account_are_told_as_text(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)

    def change(record: dict[str, Any]) -> None:
        record |= {"warmed_at": ago(days=3), "checked_at": ago(minutes=2), "source_state": "changed"}
        record |= {"account": "777\u202e", "source_etag": "v\u200b1"}
        record["result"]["warnings"] = ["no_dimensions", "<b>new\u202e"]

    answering(page, change)
    found = warm(live, page, "records/told.bin")
    expect(found.locator(".badge")).to_have_text(["warm", "changed"])
    expect(found.locator(".standing .note")).to_have_text("warmed 3 days ago · compared 2 min ago")
    expect(found).to_contain_text("the bucket has another version; this reference is of the one before")
    expect(found.locator(".facts")).to_contain_text("777\\u{202e}, not the configured ")
    expect(found.locator(".facts")).to_contain_text("v\\u{200b}1")
    warnings = found.get_by_role("list", name="Warnings").locator("li")
    expect(warnings).to_have_text(
        ["no_dimensions Telegram knows no width and height, so people see a square", "<b>new\\u{202e}"]
    )


def test_a_record_that_was_never_compared_claims_nothing_of_its_object(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)

    def change(record: dict[str, Any]) -> None:
        record |= {"checked_at": None, "sha256": None, "bytes": None, "source_etag": None}
        record["result"] |= {"source": "import"}

    answering(page, change)
    found = warm(live, page, "records/imported.bin")
    expect(found.locator(".badge")).to_have_text(["warm"])
    expect(found.locator(".standing")).to_contain_text("not compared with the bucket yet")
    expect(found.locator(".facts")).to_contain_text("an import, not by this service")
    expect(found.locator(".facts dt", has_text="size")).to_have_count(0)


def test_an_answer_that_comes_late_takes_the_place_of_no_newer_one(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    warm(live, page, "records/slow.bin")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/media/**slow.bin", hold)
    with page.expect_request("**/v1/media/**slow.bin"):
        page.get_by_label("Object key or SHA-256").press("Enter")
    page.get_by_label("Object key or SHA-256").fill("records/absent.bin")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text("not warm at this destination")
    with page.expect_response("**/v1/media/**slow.bin") as late:
        held[0].continue_()
    late.value.finished()
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    expect(page.locator("#found")).to_contain_text("not warm at this destination")


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(ViewportSize(width=1280, height=1180), "dark"), (ViewportSize(width=360, height=780), "light")],
    ids=["desktop", "phone"],
)
def test_a_record_fits_on_a_phone_and_in_either_theme(
    size: ViewportSize, scheme: Literal["light", "dark"], live: Live, browser: Browser, tmp_path: Path
) -> None:
    """With DASHBOARD_PICTURES=FOLDER the pictures stay there."""
    context = browser.new_context(viewport=size, color_scheme=scheme)
    visit = Visit(context.new_page())
    page = visit.sign_in(live.busy)

    def change(record: dict[str, Any]) -> None:
        record |= {"warmed_at": ago(days=3), "checked_at": ago(minutes=2), "source_state": "changed", "account": "777"}
        record["result"]["warnings"] = ["no_dimensions", "index_at_end"]

    answering(page, change)
    found = warm(live, page, f"records/a-rather-long-folder-name/{scheme}-{'picture-' * 8}.bin")
    found.scroll_into_view_if_needed()
    pictures = Path(os.environ.get("DASHBOARD_PICTURES", tmp_path))
    page.screenshot(path=pictures / f"record-{scheme}.png", full_page=True)
    page.get_by_role("button", name="Forget records/").click()
    expect(found.locator(".sure")).to_be_visible()
    found.screenshot(path=pictures / f"forget-{scheme}.png")
    assert fits(page)
    context.close()
