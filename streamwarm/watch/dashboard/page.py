"""The dashboard's two pages, each a single document: the dashboard itself, and the form to sign in.

A browser that opens the address sends no token, and none with the files that a page loads. So the dashboard has no
separate files: styles and scripts are put into the document, which is only served to requests with a token. A request
without one gets the form. The form's script keeps the token for the tab, fetches the dashboard with it, and replaces
the form by it.

The Content-Security-Policy allows each script and style by its digest. Markup injected through a hostile key or caption
has no such digest. Trusted Types disable the ways in which a script turns text into markup.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

from attrs import frozen

_STYLE = re.compile(r'<link rel="stylesheet" href="([a-z]+\.css)">')
_SCRIPT = re.compile(r'<script src="([a-z]+\.js)"></script>')


@frozen
class Page:
    """A document and the headers it must be served with."""

    html: bytes
    headers: Mapping[str, str]


@frozen
class Pages:
    dashboard: Page
    sign_in: Page


@frozen
class _Document:
    html: str
    styles: Sequence[str]
    scripts: Sequence[str]


def load_pages() -> Pages:
    """Read both pages from this folder; called once, at the start."""
    dashboard, sign_in = _read("dashboard.html"), _read("signin.html")
    return Pages(
        dashboard=_page(dashboard, [dashboard], policy="'none'"),
        # The dashboard replaces the form within the form's document, so the form's policy must allow its scripts.
        sign_in=_page(sign_in, [sign_in, dashboard], policy="sign-in"),
    )


def _page(document: _Document, allowed: Sequence[_Document], *, policy: str) -> Page:
    scripts = " ".join(_digest(script) for one in allowed for script in one.scripts)
    styles = " ".join(_digest(style) for one in allowed for style in one.styles)
    rules = (
        "default-src 'none'",
        f"script-src {scripts}",
        f"style-src {styles}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        f"trusted-types {policy}",
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "; ".join(rules),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        # One address has two answers; a cache would mix them up.
        "cache-control": "no-store",
    }
    return Page(document.html.encode(), headers)


def _read(name: str) -> _Document:
    html = _text(name)
    styles = [_text(found) for found in _STYLE.findall(html)]
    scripts = [_text(found) for found in _SCRIPT.findall(html)]
    html = _STYLE.sub(lambda found: f"<style>{_text(found[1])}</style>", html)
    html = _SCRIPT.sub(lambda found: f"<script>{_text(found[1])}</script>", html)
    return _Document(html, styles, scripts)


def _text(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _digest(text: str) -> str:
    """A hash source of the policy (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
