"""What visitors of the dashboard lose without these: a token that stays theirs, and a page that foreign words, a lost
connection or a hidden tab do not break."""

from __future__ import annotations

import pytest
from playwright.sync_api import ViewportSize, expect

from streamwarm.sandbox.bot_api import Fault, FaultKind
from tests.worlds.dashboard import TOKEN, Live
from tests.worlds.visit import Visit, content, fits

pytestmark = pytest.mark.needs("chromium")

DESKTOP = ViewportSize(width=1280, height=940)
PHONE = ViewportSize(width=360, height=780)
HOSTILE = [
    '<img src=x onerror="window.hacked=1">.mp4',
    "media/\u202egpj.exe",
    "media/\u3164\u2003.bin",
    "media/" + "w" * 1018,
    "a b/\n\t\x1b[31m\u0000".replace("\u0000", "") + "/\U0001f600\u200d\U0001f525.png",
    "Z\u0351\u036b\u0343\u036a\u0302" * 40,
    "</script><script>window.hacked=1</script>",
]


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
    said = 'Bad Request: can\'t parse <svg onload="window.hacked=1"> \u202eetadpu \u0007'
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


def test_what_telegram_made_of_a_file_is_shown_with_its_job(live: Live, visit: Visit) -> None:
    page = visit.sign_in(live.busy)
    live.put({"warned/silent.mp4": content("silent")})
    live.push({"r2_key": "warned/silent.mp4", "kind": "video"})
    row = page.locator("#jobs tr", has_text="warned/silent.mp4")
    expect(row.locator(".badge")).to_have_text("done")
    row.get_by_role("button").first.click()
    expect(page.locator(".facts", has_text="other_kind")).to_be_visible()
    expect(page.locator(".facts", has_text="silent.mp4")).to_be_visible()


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
