"""Every secret of the settings, to be masked wherever it would show. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from streamwarm.settings.destinations import secrets_in
from streamwarm.settings.schema import Settings


def secrets_in_settings(settings: Settings) -> list[str]:
    """Every text in the settings that must appear nowhere."""
    r2 = settings.r2
    own = [*settings.auth.tokens, *filter(None, (r2.secret_access_key, r2.access_key_id))]
    return [*own, *secrets_in_url(settings.store.url), *secrets_in(settings.destinations)]


def secrets_in_url(url: str) -> list[str]:
    """The passwords in an address, as they are written and as they are meant.

    If parsers would misread the address, all texts that may be part of its password are returned: errors name such
    parts as host, port or database.
    """
    return list(dict.fromkeys(form for written in _written(url) for form in (written, unquote(written)) if form))


def _written(url: str) -> Iterator[str]:
    scheme, found, rest = url.partition("://")
    if not found or scheme not in {"postgresql", "postgres"}:
        return
    try:
        parts = urlsplit(url)
        query = parts.query
        if parts.password:
            yield parts.password
    except ValueError:
        yield url
        yield rest.rpartition("@")[0].partition(":")[2]
        query = url.partition("?")[2]
    for name, value in parse_qsl(query):
        if name.lower() in {"password", "sslpassword", "oauth_client_secret"}:
            yield value
            yield from (raw for raw in query.split("&") if unquote_plus(raw).endswith(f"={value}"))
    login, at, _ = rest.rpartition("@")
    if at and ("/" in login or "@" in login or "?" in login or "#" in login):
        _, _, password = login.partition(":")
        yield password
        yield from re.split(r"[/?#@:]", password)
