"""The settings of an HTTP destination. Pure."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import Attribute, field, frozen

from streamwarm.net.addresses import why_not_public
from streamwarm.settings.checks import BadValue, one_of, split_url
from streamwarm.settings.placeholders import BRACED, check_placeholders
from streamwarm.settings.secret import SecretStr

_SECRET_WORD = re.compile(r"[A-Za-z0-9._~+/-]{8,}=*")
_KEY_IN_PATH = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_-]{20,}|(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9_-]{16,}")
_BASIC = re.compile(r"Basic +([A-Za-z0-9+/]+=*)", re.IGNORECASE)

_SCHEME_ALONE = re.compile(r"(?i)bearer|basic|token|digest|apikey")
"""A header Authorization whose credentials were not filled in."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset(
    {"content-length", "transfer-encoding", "host", "connection", "expect", "te", "trailer", "upgrade", "keep-alive"}
)
"""Headers that frame the request. A second value for one of them would allow request smuggling."""

_HARMLESS = frozenset(
    {"accept", "accept-language", "cache-control", "content-disposition", "content-language", "content-type", "expires"}
)
"""Headers whose values are common words in any log. Masking them would hide those words and no secret."""


def _check_url(_: object, __: Attribute[Any], value: str) -> None:
    if not re.fullmatch(r"[!-~]+", value):
        raise BadValue("must be printable ASCII without spaces; percent-encode what is not")
    if not value.startswith(("http://", "https://")):
        raise BadValue("must start with https:// (or http://)")
    check_placeholders(value)
    authority = re.split(r"[/?#]", value.partition("://")[2], maxsplit=1)[0]
    if "{" in authority.partition(":")[0] or "\\" in value:
        raise BadValue("must name its host outright, such as https://media.example.com/{r2_key}")
    try:
        url = split_url(value)
    except ValueError:
        raise BadValue("must be a URL, such as https://media.example.com/{r2_key}") from None
    if "@" in url.netloc:
        raise BadValue("must not have credentials in it; put them into headers")
    if not url.hostname:
        raise BadValue("must name its host outright, such as https://media.example.com/{r2_key}")
    if url.fragment or value.endswith("#"):
        raise BadValue("must not have a fragment (#): it would never be sent")


def _check_headers(_: object, __: Attribute[Any], value: Mapping[str, SecretStr]) -> None:
    seen: set[str] = set()
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise BadValue("has a name that no header can have; allowed: letters, digits and !#$%&'*+-.^_`|~")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise BadValue(f"must not set {name}: streamwarm frames the request itself")
        if name.lower() in seen:
            raise BadValue(f"names {name} twice")
        if not re.fullmatch(r"[ -~]*", text):
            raise BadValue(f"has a line break or a character in {name} that no header can hold")
        if not text or (name.lower() == "authorization" and _SCHEME_ALONE.fullmatch(text)):
            raise BadValue(f"has no value in {name}; give it, or leave the header out")
        seen.add(name.lower())


@frozen(kw_only=True)
class HttpSettings:
    """`[destinations.<name>]` with `type = "http"`."""

    type: str = "http"
    url: str = field(validator=_check_url)
    method: str = field(default="PUT", validator=one_of("PUT", "POST"))
    headers: Mapping[str, SecretStr] = field(factory=dict, validator=_check_headers)
    headers_file: Path | None = None
    allow_private: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse an address that the guard would refuse for every job. The guard checks names when it dials them."""
        host = urlsplit(self.url).hostname or ""
        if self.allow_private:
            return
        if host == "localhost" or host.endswith(".localhost"):
            raise BadValue("url: localhost is this host; set allow_private = true if that is meant")
        try:
            reason = why_not_public(host)
        except ValueError:
            return
        if reason:
            raise BadValue(f"url: {host} is {reason}; set allow_private = true if that is meant")

    @property
    def secrets(self) -> list[str]:
        """The texts to redact: header values and the words in them (without `Bearer`), fixed values in the URL's
        query, and parts of its path that look like a key, as in the URLs of webhooks."""
        values = [str(text) for name, text in self.headers.items() if name.lower() not in _HARMLESS]
        words = [word for value in values for word in _SECRET_WORD.findall(value)]
        parts = urlsplit(self.url)
        fixed = [piece for _, text in parse_qsl(parts.query) for piece in BRACED.split(text)[::2] if piece]
        alone = [part for part in parts.query.split("&") if "=" not in part and _KEY_IN_PATH.fullmatch(part)]
        logins = [login for value in values for login in _basic_login(value)]
        return [*values, *words, *logins, *fixed, *alone, *filter(_KEY_IN_PATH.fullmatch, parts.path.split("/"))]


def _basic_login(value: str) -> list[str]:
    """User and password, as a server decodes them from `Basic …`, and the password alone."""
    found = _BASIC.fullmatch(value)
    if found is None:
        return []
    try:
        login = b64decode(found[1] + "==").decode("utf-8", "replace")
    except ValueError:
        return []
    return [login, login.partition(":")[2]]
