"""What who runs the service loses without these: seeing in a browser what happens, and putting it right from there."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from streamwarm.sandbox.bot_api import Fault, FaultKind
from tests.worlds.dashboard import Live
from tests.worlds.visit import Visit, content, fits

pytestmark = pytest.mark.needs("chromium")

TALL = ViewportSize(width=1280, height=1180)
PHONE = ViewportSize(width=360, height=780)
ARCHIVE_BOT = 5151
QUEUED = 10_000
PART_WAY = re.compile(r"^[1-9]\d?$")
FILMS = ("night-market", "old-bridge", "harbour")
Scheme = Literal["light", "dark"]


def test_a_push_appears_progresses_and_finishes_without_a_reload(live: Live, visit: Visit) -> None:
    live.put({"films/harbour.mp4": content("harbour", 40_000_000)})
    page = visit.sign_in(live.busy)
    page.evaluate("window.sameDocument = true")
    live.inject(Fault(FaultKind.STALL_UPLOAD, seconds=5, at_byte=8_000_000))
    live.push({"r2_key": "films/harbour.mp4", "kind": "video"})
    worker = page.locator(".worker", has_text="harbour.mp4")
    expect(worker).to_contain_text("mybot · video")
    expect(worker).to_contain_text(" of 40.0 MB")
    # Not `wait_for_function`: its second look is an `eval`, which the page forbids.
    expect(worker.get_by_role("progressbar")).to_have_attribute("aria-valuenow", PART_WAY)
    row = page.locator("#jobs tr", has_text="harbour.mp4")
    expect(row.locator(".badge")).to_have_text("running")
    expect(row.locator(".badge")).to_have_text("done")
    expect(worker).to_have_count(0)
    expect(page.locator("#tile-workers")).to_have_text("0 / 5")
    assert page.evaluate("window.sameDocument")


def test_a_failure_tells_its_reason_and_is_retried_from_the_keyboard(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    live.push({"r2_key": "late/upload.bin"})
    failure = page.locator(".failure", has_text="upload.bin")
    expect(failure).to_contain_text("source_not_found")
    expect(failure).to_contain_text("there is no object 'late/upload.bin'")
    live.put({"late/upload.bin": content("late")})
    page.get_by_role("button", name="Retry late/upload.bin").focus()
    page.keyboard.press("Enter")
    expect(failure).to_have_count(0)
    expect(page.locator("#jobs tr", has_text="upload.bin").locator(".badge")).to_have_text("done")
    assert page.evaluate("document.activeElement !== document.body")


def test_all_that_failed_is_retried_at_once_after_an_outage(live: Live, visit: Visit) -> None:
    keys = [f"outage/{number}.bin" for number in range(3)]
    live.push(*({"r2_key": key} for key in keys))
    page = visit.sign_in(live.busy)
    expect(page.locator(".failure", has_text="outage/")).to_have_count(3)
    live.put({key: content(key) for key in keys})
    page.get_by_role("button", name="Retry all failed").click()
    expect(page.locator(".failure", has_text="outage/")).to_have_count(0)
    expect(page.locator("#spoken")).to_contain_text("jobs are queued again.")


def test_no_line_takes_the_place_of_another_under_the_pointer(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    live.push({"r2_key": "still/first.bin"})
    row = page.locator("#jobs tr", has_text="first.bin")
    expect(row.locator(".badge")).to_have_text("failed")
    row.hover()
    live.push({"r2_key": "still/second.bin"})
    expect(page.locator(".failure", has_text="second.bin")).to_be_visible()
    expect(page.locator("#jobs tr").first).to_contain_text("first.bin")
    page.mouse.move(0, 0)
    expect(page.locator("#jobs tr").first).to_contain_text("second.bin")


def test_ten_thousand_queued_jobs_are_a_page_at_a_time(live: Live, visit: Visit) -> None:
    live.ask("/v1/pause", {"destination": "archive"}, url=live.idle)
    scans = ({"destination": "archive", "r2_key": f"scans/{number:05}.tiff"} for number in range(QUEUED))
    live.push(*scans, url=live.idle)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.goto(live.idle)
    page = visit.ready()
    expect(page.locator("#tile-queued")).to_have_text("10,000")
    expect(page.locator("#jobs tr").first).to_contain_text("scans/09999")
    page.get_by_role("button", name="Older").click()
    expect(page.locator("#jobs tr").first).to_contain_text("scans/09979")
    page.get_by_label("State").select_option("failed")
    expect(page.locator("#jobs-empty")).to_have_text("No job is like that.")
    page.get_by_label("State").select_option("queued")
    expect(page.locator("#jobs tr")).to_have_count(20)
    pages = [parse_qs(urlsplit(url).query) for url in asked if urlsplit(url).path == "/v1/jobs"]
    assert max(int(query["limit"][0]) for query in pages) <= 20
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    archive = page.locator(".destination", has_text="archive")
    expect(archive.locator(".limits")).to_have_text("at most 20 messages a minute")  # paused: no end is promised
    expect(archive.locator(".hint")).to_contain_text("each further group in `chats` adds 20")


def test_a_bot_whose_token_was_mended_is_resumed_before_its_time(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    live.put({"refused.bin": content("refused"), "mended.bin": content("mended")})
    live.inject(Fault(FaultKind.REFUSED, status=401, description="Unauthorized", bot_id=ARCHIVE_BOT))
    [job_id] = live.push({"r2_key": "refused.bin", "destination": "archive"})
    archive = page.locator(".destination", has_text="archive")
    expect(archive.locator(".pause")).to_contain_text("left: Telegram answered 401")
    page.get_by_role("button", name="Resume archive").click()
    expect(archive.locator(".pause")).to_be_hidden()
    live.push({"r2_key": "mended.bin", "destination": "archive"})
    live.ask(f"/v1/jobs/{job_id}/cancel", {})
    expect(page.locator("#jobs tr", has_text="mended.bin").locator(".badge")).to_have_text("done")


def test_a_pause_counts_down_and_people_pause_and_resume(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    live.put({"scan.bin": content("scan")})
    live.inject(Fault(FaultKind.RATE_LIMITED, retry_after=3600, bot_id=ARCHIVE_BOT))
    [job_id] = live.push({"r2_key": "scan.bin", "destination": "archive"})
    archive, mybot = (page.locator(".destination", has_text=name) for name in ("archive", "mybot"))
    expect(archive.locator(".pause")).to_contain_text("paused, 59:")
    told = archive.locator(".pause").inner_text()
    expect(archive.locator(".pause")).not_to_have_text(told)
    page.get_by_role("button", name="Pause mybot").click()
    expect(mybot.locator(".pause")).to_have_text("paused until resumed")
    expect(page.locator("#spoken")).to_have_text("mybot is paused.")
    page.get_by_role("button", name="Resume mybot").click()
    expect(mybot.locator(".pause")).to_be_hidden()
    page.get_by_role("button", name="Pause all").click()
    page.get_by_role("button", name="Resume all").click()
    expect(page.get_by_role("button", name="Pause all")).to_be_visible()
    live.ask(f"/v1/jobs/{job_id}/cancel", {})


def test_an_object_is_found_by_key_and_by_digest_and_pushed_where_it_is_cold(live: Live, visit: Visit) -> None:
    warm, cold = content("warm"), content("cold")
    live.put({"find/warm?#.bin": warm, "find/cold.bin": cold})
    live.push({"r2_key": "find/warm?#.bin"})
    page = visit.sign_in(live.busy)
    expect(page.locator("#jobs tr", has_text="warm?#.bin").locator(".badge")).to_have_text("done")
    page.get_by_label("Kind").select_option("document")
    reference, found = page.get_by_label("Object key or SHA-256"), page.locator("#found")
    for text in ("find/warm?#.bin", hashlib.sha256(warm).hexdigest()):
        reference.fill(text)
        page.keyboard.press("Enter")
        expect(found.locator(".facts")).to_contain_text("find/warm?#.bin")
        expect(found.locator(".reference code")).not_to_be_empty()
    reference.fill("find/cold.bin")
    page.keyboard.press("Enter")
    expect(found).to_contain_text("not warm at this destination")
    page.get_by_role("button", name="Push find/cold.bin").click()
    expect(page.locator("#jobs tr", has_text="cold.bin").locator(".badge")).to_have_text("done")


def press_tab(page: Page) -> str | None:
    """What has the focus then; None past the page's end."""
    page.keyboard.press("Tab")
    told = "document.activeElement.ariaLabel || document.activeElement.id || document.activeElement.textContent"
    name: str | None = page.evaluate(f"document.activeElement === document.body ? null : {told}")
    return name


def test_everything_is_reached_with_the_tab_key(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    expect(page.locator("#jobs tr").first).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    reached: list[str] = []
    while (name := press_tab(page)) is not None:
        reached.append(name)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached[0] == "Skip to the jobs"
    wanted = ["Pause all", "sign-out", "Pause mybot", "Pause archive", "find-reference", "jobs-state"]
    assert [name for name in wanted if name not in reached] == []
    plot = page.locator("#plot-jobs")
    plot.locator("svg").focus()
    page.keyboard.press("ArrowLeft")
    expect(plot.locator("[data-readout]")).to_contain_text("· done ")


@pytest.mark.parametrize(
    ("name", "size", "scheme"), [("desktop", TALL, "light"), ("phone", PHONE, "dark")], ids=["desktop", "phone"]
)
def test_the_busy_dashboard_has_its_picture_taken(
    name: str, size: ViewportSize, scheme: Scheme, live: Live, browser: Browser, tmp_path: Path
) -> None:
    """With DASHBOARD_PICTURES=FOLDER the pictures stay there; those of `docs/images` were made so."""
    year = {"desktop": 2024, "phone": 2025}[name]
    films = {f"films/{year}/{film}.mp4": content(f"{name}/{film}", 30_000_000) for film in FILMS}
    pages = {f"catalogue/{year}/page-{number:02}.pdf": content(f"{name}/{number}") for number in range(24)}
    teaser = f"films/{year}/teaser.mp4"
    live.put(films | pages)
    live.push(*({"r2_key": key} for key in pages), {"r2_key": teaser, "kind": "video"}, url=live.idle)
    context = browser.new_context(viewport=size, color_scheme=scheme)
    visit = Visit(context.new_page())
    visit.page.goto(live.idle)
    page = visit.ready()
    expect(page.locator(".failure", has_text=teaser)).to_be_visible()
    expect(page.locator("#tile-workers")).to_have_text("0 / 5")
    live.inject(*(Fault(FaultKind.STALL_UPLOAD, seconds=60, at_byte=at) for at in (3_000_000, 9_000_000, 16_000_000)))
    live.push(*({"r2_key": key, "kind": "video"} for key in films), url=live.idle)
    for key in films:
        expect(page.locator(".worker", has_text=key)).to_contain_text(" of 30.0 MB")
        expect(page.locator("#jobs tr", has_text=key)).to_be_visible()
    expect(page.locator("#plot-rate path")).to_have_count(2)
    page.screenshot(path=Path(os.environ.get("DASHBOARD_PICTURES", tmp_path)) / f"dashboard-{name}.png")
    assert fits(page)
    context.close()
    live.calm()
    live.ask("/v1/jobs/cancel", {"state": "running"}, url=live.idle)
