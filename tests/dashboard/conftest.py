"""A real browser for the dashboard's tests, and the services it looks at: one of each for a whole file of tests, whose
functions are not trio's because Playwright's driver keeps the thread to itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from streamwarm.sandbox.object_store import ObjectStore
from tests.worlds.dashboard import Live, live_services, past_hour

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


@pytest.fixture(scope="module")
def live(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamwarm.service.nursery.History", past_hour)
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
