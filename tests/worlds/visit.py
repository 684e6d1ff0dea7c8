"""A visit to the dashboard with a real browser."""

from __future__ import annotations

import random

from playwright.sync_api import Page, expect

from tests.worlds.dashboard import TOKEN


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


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))
