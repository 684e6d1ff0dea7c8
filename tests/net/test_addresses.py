"""What an operator loses without these: an address that is missed here is a way into their private network."""

from __future__ import annotations

import pytest

from streamwarm.net.addresses import why_not_public

REFUSED = {
    "127.0.0.1": "loopback",
    "127.8.9.10": "loopback",
    "0.0.0.0": "this host",
    "10.1.2.3": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "CGNAT",
    "100.127.255.254": "CGNAT",
    "169.254.169.254": "link-local",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "255.255.255.255": "reserved",
    "240.0.0.1": "reserved",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "192.88.99.1": "6to4",
    "::": "this host",
    "::1": "loopback",
    "::127.0.0.1": "IPv4-compatible",
    "::ffff:127.0.0.1": "IPv4-mapped",
    "::ffff:8.8.8.8": "IPv4-mapped",
    "64:ff9b::7f00:1": "NAT64",
    "64:ff9b::808:808": "NAT64",
    "64:ff9b:1::a00:1": "NAT64",
    "2001:0:808:808::1": "Teredo",
    "2002:7f00:1::": "6to4",
    "2001:db8::1": "reserved",
    "fc00::1": "private",
    "fd12:3456::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "::ffff:0:7f00:1": "reserved",
    "100::1": "reserved",
    "5f00::1": "reserved",
}


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused_by_name(address: str) -> None:
    reason = why_not_public(address)
    assert reason is not None
    assert REFUSED[address] in reason


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"])
def test_public_addresses_may_be_dialled(address: str) -> None:
    assert why_not_public(address) is None
