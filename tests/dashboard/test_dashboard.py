"""What who runs the service loses without these: seeing in a browser what happens, and putting it right from there."""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from streamwarm.sandbox.bot_api import Fault, FaultKind
from tests.worlds.dashboard import TOKEN, Live

pytestmark = pytest.mark.needs("chromium")

DESKTOP = ViewportSize(width=1280, height=940)
TALL = ViewportSize(width=1280, height=1180)
PHONE = ViewportSize(width=360, height=780)
ARCHIVE_BOT = 5151
QUEUED = 10_000
PART_WAY = re.compile(r"^[1-9]\d?$")
FILMS = ("night-market", "old-bridge", "harbour")
Scheme = Literal["light", "dark"]

HOSTILE = [
    '<img src=x onerror="window.hacked=1">.mp4',
    "media/\u202egpj.exe",
    "media/\u3164\u2003.bin",
    "media/" + "w" * 1018,
    "a b/\n\t\x1b[31m\u0000".replace("\u0000", "") + "/\U0001f600\u200d\U0001f525.png",
    "Z\u0351\u036b\u0343\u036a\u0302" * 40,
    "</script><script>window.hacked=1</script>",
]


def content(seed: str, size_bytes: int = 20_000) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


class Visit:
    """A page and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda note: self.troubles.append(note.text) if note.type == "error" else None)

    def sign_in(self, url: str) -> Page:
        self.page.goto(url)
        self.page.get_by_label("Token").fill(TOKEN)
        self.page.keyboard.press("Enter")
        return self.ready()

    def ready(self) -> Page:
        expect(self.page.locator("#link")).to_have_text("Live")
        expect(self.page.locator("#main")).to_have_attribute("data-stale", "false")
        return self.page


@pytest.fixture
def visit(browser: Browser, live: Live) -> Iterator[Visit]:
    context = browser.new_context(viewport=DESKTOP)
    visit = Visit(context.new_page())
    yield visit
    context.close()
    live.calm()
    # The browser's own word for the 401 that brings the form, and for a 404 that says "cold".
    assert [text for text in visit.troubles if "the server responded with a status of 40" not in text] == []


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


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


def test_a_token_opens_the_dashboard_for_this_tab_and_stands_in_no_address(live: Live, visit: Visit) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(live.busy)
    token = page.get_by_label("Token")
    expect(token).to_be_focused()
    for wrong in ("wrong", "schl\u00fcssel"):
        token.fill(wrong)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This token is not one of the service’s.")
    expect(page.locator("#workers")).to_have_count(0)
    token.fill(TOKEN)
    page.keyboard.press("Enter")
    visit.ready()
    page.reload()
    visit.ready()
    assert not [url for url in asked if "canary" in url]
    assert page.evaluate("localStorage.length") == 0
    with page.context.expect_page() as opened:
        page.evaluate("window.open('/', '_blank', 'noopener')")
    expect(opened.value.get_by_label("Token")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_what_strangers_wrote_is_shown_as_text(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    said = 'Bad Request: <svg onload="window.hacked=1"> \u202eetadpu \u0007'
    live.inject(Fault(FaultKind.REFUSED, description=said, times=None))
    live.put({HOSTILE[0]: content("hostile")})
    live.push(*({"r2_key": key, "options": {"caption": "<b onclick=hacked=1>\u202e"}} for key in HOSTILE))
    expect(page.locator("#jobs tr", has_text="<img src=x").locator(".badge")).to_have_text("failed")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".failure .reason", has_text='<svg onload="window.hacked=1">')).to_be_visible()
    expect(page.locator("#jobs tr", has_text="<img src=x onerror=")).to_be_visible()
    expect(page.locator("#jobs tr", has_text="\\u{202e}gpj.exe")).to_be_visible()
    expect(page.locator("#jobs tr", has_text="\\u{a}\\u{9}\\u{1b}[31m")).to_be_visible()
    expect(page.locator("#jobs tr", has_text="\\u{3164}\\u{2003}.bin")).to_be_visible()
    page.locator("#jobs tr", has_text="<img src=x").get_by_role("button").click()
    expect(page.locator(".facts", has_text='"caption":"<b onclick=hacked=1>\\u{202e}"')).to_be_visible()
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        assert fits(page)
    assert page.locator("main img, main script, main svg[onload], main b[onclick]").count() == 0
    assert page.evaluate("window.hacked") is None


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
    expect(archive.locator(".limits")).to_have_text("at most 20 messages a minute · about 8 h 20 min for what waits")
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


def test_a_lost_connection_is_told_and_found_again(live: Live, visit: Visit) -> None:
    page = visit.page
    page.route("**/v1/events", lambda route: route.abort())
    page.goto(live.idle)
    expect(page.locator("#link")).to_have_text("Connection lost. Trying again…")
    page.unroute("**/v1/events")
    visit.ready()
    visit.troubles.clear()


def test_a_tab_that_nobody_looks_at_holds_no_connection(live: Live, visit: Visit) -> None:
    visit.page.clock.install()
    visit.page.goto(live.idle)
    page = visit.page
    expect(page.locator("#link")).to_have_text("Live")
    seen = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    look = seen + "document.dispatchEvent(new Event('visibilitychange'))"
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/v1/events")):
        page.evaluate(look % "true")
        page.clock.fast_forward(11_000)
    with page.expect_request("**/v1/events"):
        page.clock.fast_forward(20_000)
        page.evaluate(look % "false")
    expect(page.locator("#link")).to_have_text("Live")


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
