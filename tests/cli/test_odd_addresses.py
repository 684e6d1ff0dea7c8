"""A mistyped address of the service is a message and an exit code, never a traceback."""

from __future__ import annotations

import pytest

from streamwarm.cli.common import UNREACHABLE
from tests.worlds.command_line import cli

USAGE = 2

ODD = [
    *("a..b:1", "a..b", ".:1", "xn--a:1", "ä..b:1", "💩:1", "[v1.a]:1", "[::1", "host:99999", "host:-1", "host:0"),
    *(f"{'a' * 64}.example:1", "%00:1", "a b:1", "host:1:2", "", ":1", "host:\u0661", "127.1.1.1.1:1", "user@:1"),
]


@pytest.mark.parametrize("where", ODD)
@pytest.mark.parametrize("option", ["--http-url http://", "--http-url https://", "--url ws://", "--url wss://"])
async def test_an_address_that_no_service_can_have_ends_with_a_message(option: str, where: str) -> None:
    name, scheme = option.split()
    ended = await cli("status", name, f"{scheme}{where}/")
    assert ended.code in (USAGE, UNREACHABLE)
    assert ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("path", ["ä", "%zz", "\x7f"])
async def test_a_path_that_no_service_can_have_ends_with_a_message(path: str) -> None:
    for option in ("--http-url=http://", "--url=ws://"):
        ended = await cli("status", f"{option}127.0.0.1:1/{path}")
        assert ended.code in (USAGE, UNREACHABLE)
