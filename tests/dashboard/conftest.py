"""A real browser for the dashboard's tests, and the services it looks at: one of each for a whole file of tests, whose
functions are not trio's because Playwright's driver keeps the thread to itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ViewportSize, expect, sync_playwright

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.dashboard import Live, live_services
from tests.worlds.visit import Visit

FLAGS = (
    "--no-sandbox",  # as root it does not start with one
    "--disable-dev-shm-usage",  # a container's /dev/shm is commonly 64 MB, and a page that finds it full crashes
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

DESKTOP = ViewportSize(width=1280, height=940)


@pytest.fixture(scope="module")
def live(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live_services(object_store, tmp_path_factory.mktemp("dashboard")) as services:
        yield services
        assert services.unexpected == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, live: Live) -> Iterator[Visit]:
    context = browser.new_context(viewport=DESKTOP)
    visit = Visit(context.new_page())
    yield visit
    context.close()
    live.calm()
    # The browser's own word for the 401 that brings the form, and for a 404 that says "cold".
    assert [text for text in visit.troubles if "the server responded with a status of 40" not in text] == []
