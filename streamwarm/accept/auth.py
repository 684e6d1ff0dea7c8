"""Who may speak to the service: bearer tokens, and which web pages may make a browser speak for them.

A browser sends its page's `Origin` with every websocket handshake and lets any page open one, so a page on
the internet could drive a service on its reader's own machine. Programs send no `Origin` and are let
through by token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from attrs import field, frozen

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _digests(tokens: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(_digest(token.encode()) for token in tokens)


def _origins(origins: Iterable[str]) -> frozenset[str]:
    return frozenset(origin.lower().rstrip("/") for origin in origins)


@frozen
class Auth:
    """`tokens`: any one of them is good, none set lets everybody in. `origins`: web pages that may connect.

    Only digests of the tokens are kept: they compare in a time that depends on no token's length or content.
    """

    tokens: tuple[bytes, ...] = field(default=(), converter=_digests, repr=False)
    origins: frozenset[str] = field(default=frozenset(), converter=_origins)

    def admits(self, authorization: Iterable[str | bytes]) -> bool:
        """Whether the request's `Authorization` headers hold exactly one `Bearer TOKEN` that is good."""
        return self.token_used(authorization) is not None

    def token_used(self, authorization: Iterable[str | bytes]) -> int | None:
        """Which of `tokens` a request that may come in has sent (0 where none is asked for), or None if it may not."""
        if not self.tokens:
            return 0
        headers = [value.encode("latin-1") if isinstance(value, str) else value for value in authorization]
        scheme, _, token = headers[0].partition(b" ") if len(headers) == 1 else (b"", b"", b"")
        offered = _digest(token.strip())
        matches = [hmac.compare_digest(offered, known) for known in self.tokens]
        return matches.index(True) if scheme.lower() == b"bearer" and any(matches) else None

    def allows_origin(self, origins: Iterable[str | bytes], *, own: Iterable[str] = ()) -> bool:
        """Whether the request's `Origin` headers are none, or one that is listed, or one of the service's
        `own`."""
        sent = [value.decode("latin-1") if isinstance(value, bytes) else value for value in origins]
        return not sent or (len(sent) == 1 and sent[0].lower() in self.origins | frozenset(own))

    def allows_host(self, hosts: Iterable[str], *, bound: str) -> bool:
        """Whether the request's `Host` headers are none, or one that names this service, which listens at `bound`.

        A page whose name was rebound to 127.0.0.1 is of the same origin to its browser, which then sends no `Origin`
        with what it reads; its own name in `Host` gives it away. An address cannot be rebound, nor can the names of
        loopback; other names are those in `origins`. Where a token is asked for, such a page has none.
        """
        sent = list(hosts)
        if self.tokens or not sent:
            return True
        name = _host_name(f"//{sent[0]}")
        known = {"localhost", bound.lower()} | {_host_name(origin) for origin in self.origins}
        return len(sent) == 1 and name is not None and (_is_address(name) or name in known)


def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def own_origins(http_url: str) -> tuple[str, ...]:
    """The origins under which a browser sees the service at `http_url`: on loopback, by each of its names.

    A service that is bound to every address is reached by names it cannot know; those go into `auth.origins`.
    """
    parts = urlsplit(http_url)
    host = parts.hostname or ""
    if host == "localhost" or _is_local(host):
        return tuple(f"{parts.scheme}://{name}:{parts.port}" for name in _LOOPBACK_NAMES)
    return (f"{parts.scheme}://{parts.netloc}".lower(),)


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
