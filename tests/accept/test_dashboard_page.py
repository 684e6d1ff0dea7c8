"""What an operator loses without these: two documents that a browser can trust before it has run any of their code."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from streamwarm.accept.auth import Auth
from streamwarm.watch.dashboard.page import Page, load_pages
from tests.worlds.accept import open_http_service, open_world
from tests.worlds.accept_clients import api

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def inline(page: Page, tag: str) -> list[str]:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", page.html.decode(), re.DOTALL)


async def test_a_person_without_a_token_gets_a_form_and_a_program_gets_a_problem() -> None:
    auth = Auth(["canary-token"])
    async with open_world() as world, open_http_service(world, auth=auth) as url, api(url) as stranger:
        form = await stranger.get("/", headers=BROWSER)
        assert (form.status_code, form.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert form.headers["www-authenticate"].startswith("Bearer")
        assert 'id="token"' in form.text
        assert 'id="workers"' not in form.text
        for accept in ("*/*", "application/json"):
            problem = await stranger.get("/", headers={"accept": accept})
            assert (problem.status_code, problem.headers["content-type"]) == (401, "application/problem+json")
        # No other address has a form to sign in.
        assert (await stranger.get("/v1/jobs", headers=BROWSER)).json()["status"] == 401
        async with api(url, "wrong") as wrong:
            assert (await wrong.get("/", headers=BROWSER)).status_code == 401


async def test_who_may_come_in_gets_the_dashboard() -> None:
    async with open_world() as world, open_http_service(world) as url, api(url) as client:
        assert 'id="workers"' in (await client.get("/", headers=BROWSER)).text
    auth = Auth(["canary-token"])
    async with open_world() as world, open_http_service(world, auth=auth) as url, api(url, "canary-token") as client:
        page = await client.get("/")
        assert (page.status_code, 'id="workers"' in page.text) == (200, True)
        assert "canary-token" not in page.text
        assert (await client.head("/")).status_code == 200


@pytest.mark.parametrize("name", ["dashboard", "sign_in"])
def test_a_page_runs_its_own_scripts_and_asks_nobody_else(name: str) -> None:
    page: Page = getattr(load_pages(), name)
    html = page.html.decode()
    policy = page.headers["content-security-policy"]
    for tag in ("script", "style"):
        for text in inline(page, tag):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert "unsafe" not in policy
    for rule in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"


def test_no_script_makes_markup_of_text() -> None:
    scripts = "".join(inline(load_pages().dashboard, "script"))
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert way not in scripts
