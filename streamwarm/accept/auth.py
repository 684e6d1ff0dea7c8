"""Who may use the service: clients with a bearer token, and browsers on pages of an allowed origin.

A browser lets any page open a websocket, and sends the page's `Origin` with the handshake. Without a check, a page on
the internet could control a service on its reader's own machine. Programs send no `Origin`; their token lets them in.
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
    """`tokens`: a client must send one of them; if there are none, every client is let in. `origins`: pages that may
    connect.

    Only digests of the tokens are kept. Comparing digests takes the same time for every token, so the time reveals
    nothing.
    """

    tokens: tuple[bytes, ...] = field(default=(), converter=_digests, repr=False)
    origins: frozenset[str] = field(default=frozenset(), converter=_origins)

    def admits(self, authorization: Iterable[str | bytes]) -> bool:
        """True if the `Authorization` headers are exactly one `Bearer TOKEN` with a valid token."""
        return self.token_used(authorization) is not None

    def token_used(self, authorization: Iterable[str | bytes]) -> int | None:
        """The index in `tokens` of the token that the request sent; None if the request must be refused.

        Returns 0 if no tokens are configured.
        """
        if not self.tokens:
            return 0
        headers = [value.encode("latin-1") if isinstance(value, str) else value for value in authorization]
        scheme, _, token = headers[0].partition(b" ") if len(headers) == 1 else (b"", b"", b"")
        offered = _digest(token.strip())
        matches = [hmac.compare_digest(offered, known) for known in self.tokens]
        return matches.index(True) if scheme.lower() == b"bearer" and any(matches) else None

    def allows_origin(self, origins: Iterable[str | bytes], *, own: Iterable[str] = ()) -> bool:
        """True if the request has no `Origin` header, or exactly one that is in `origins` or in the service's `own`."""
        sent = [value.decode("latin-1") if isinstance(value, bytes) else value for value in origins]
        return not sent or (len(sent) == 1 and sent[0].lower() in self.origins | frozenset(own))

    def allows_host(self, hosts: Iterable[str], *, bound: str) -> bool:
        """True if the request has no `Host` header, or exactly one that names this service, which listens at `bound`.

        This stops DNS rebinding: a page's name is made to resolve to 127.0.0.1, the browser treats the service as the
        page's own origin, and sends no `Origin` when it reads. The page's name in `Host` reveals it. Addresses and
        the names of loopback cannot be rebound. Other names must be in `origins`. If tokens are configured, every host
        is allowed, because such a page has no token.
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
    """The origins that a browser sends from the service's own pages at `http_url`. On loopback, one per name of it.

    A service that listens on every address cannot know its names; the user adds them to `auth.origins`.
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
