"""Validators that several settings share. Pure.

Each raises `BadValue` with what is allowed. No message quotes the value: it may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import idna
from attrs import Attribute

MAX_URL_CHARS = 65_536
"""The longest URL that httpx takes."""

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_IPV4 = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")


class BadValue(ValueError):
    """A value that a setting does not allow. The message says what is allowed and never quotes the value."""


Validator = Callable[[Any, "Attribute[Any]", Any], None]


def at_least(minimum: float) -> Validator:
    def check(_: object, __: Attribute[Any], value: float) -> None:
        if not minimum <= value < float("inf"):  # written so that NaN fails too
            raise BadValue(f"must be at least {minimum:g}" if value != float("inf") else "must be a finite number")

    return check


def above_zero(_: object, __: Attribute[Any], value: float) -> None:
    if not 0 < value < float("inf"):
        raise BadValue("must be greater than 0")


def one_of(*allowed: str) -> Validator:
    def check(_: object, __: Attribute[Any], value: str) -> None:
        if value not in allowed:
            raise BadValue(f"must be one of: {', '.join(allowed)}")

    return check


def not_empty(_: object, __: Attribute[Any], value: str) -> None:
    if not value:
        raise BadValue("must not be empty")


def check_endpoint(_: object, __: Attribute[Any], value: str) -> None:
    """For the endpoint of an S3 API: scheme, host and port, and nothing behind them."""
    try:
        url = split_url(value)
    except ValueError:
        raise BadValue("must be a URL, such as https://ACCOUNT.r2.cloudflarestorage.com") from None
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise BadValue("must be https://HOST or http://HOST:PORT")
    if "@" in value:
        raise BadValue("must not have credentials in it; they are access_key_id and secret_access_key")
    if url.path not in {"", "/"} or "?" in value or url.fragment:
        raise BadValue("must end after the host: the bucket's name goes into bucket")


def split_url(text: str) -> SplitResult:
    """The parts of a URL. Raises `ValueError` for a host or port that no request could go to."""
    if len(text) > MAX_URL_CHARS or text != text.strip() or not text.isprintable():
        raise ValueError("has a character that no URL has, or is too long")
    url = urlsplit(text)
    if url.port == 0:  # reading it raises ValueError for what is not a number up to 65535
        raise ValueError("port 0 is not a port that anything listens on")
    if url.hostname:
        check_host(url.hostname)
    return url


def check_host(host: str) -> None:
    """Raise `ValueError` for a host that no resolver takes (RFC 1035, section 2.3.4, and underscores)."""
    if ":" in host:
        ipaddress.IPv6Address(host)
    elif _IPV4.fullmatch(host):
        ipaddress.IPv4Address(host)
    else:
        name = host if host.isascii() else idna.encode(host).decode("ascii")  # an IDNAError is a ValueError
        if len(name) > 253 or not all(map(_LABEL.fullmatch, name.removesuffix(".").split("."))):
            raise ValueError("a host's name is labels of 1 to 63 letters, digits, - and _, with dots between them")
        if "xn--" in name.lower():
            idna.decode(name)  # httpx does so per request, and would raise then
