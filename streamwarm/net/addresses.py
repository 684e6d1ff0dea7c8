"""Which network addresses are public. Pure: text in, a reason out; `guard.py` calls it before it connects.

`ipaddress.is_global` alone is not enough. It calls multicast global, and every form in which IPv6 carries an IPv4
address (NAT64, 6to4, IPv4-compatible): on a host with a translator, `64:ff9b::7f00:1` or `2002:7f00:1::` would lead to
127.0.0.1. So refused networks are listed by name, from the IANA registries of special-purpose addresses
(https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry), and `is_global` only closes
the gaps. All carried addresses are refused, whatever they carry, because nobody publishes a service at one.
"""

from __future__ import annotations

import ipaddress
from ipaddress import ip_network

_NOT_PUBLIC = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an address of this host"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's shared address (CGNAT)"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private address"),
        ("224.0.0.0/4", "a multicast address"),
        ("::/128", "an address of this host"),
        ("::1/128", "a loopback address"),
        ("::/96", "an IPv4-compatible address"),
        ("::ffff:0:0/96", "an IPv4-mapped address"),
        ("64:ff9b::/96", "a NAT64 address"),
        ("64:ff9b:1::/48", "a NAT64 address"),
        ("2001::/32", "a Teredo address"),
        ("2002::/16", "a 6to4 address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)

_GLOBAL_UNICAST = ip_network("2000::/3")
"""The IPv6 addresses that IANA has assigned for public use."""


def why_not_public(address: str) -> str | None:
    """Return what kind of address it is, such as "a loopback address", or None if it is public.

    `address` is an IPv4 or IPv6 address, with or without a scope. Raises `ValueError` for anything else.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    for network, what in _NOT_PUBLIC:
        if parsed.version == network.version and parsed in network:
            return what
    if not parsed.is_global or (parsed.version == 6 and parsed not in _GLOBAL_UNICAST):
        return "a reserved address"
    return None
