"""What somebody loses whose client is refused if these fail: the reason, and an exit code that a script can act on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from streamwarm.cli.common import UNREACHABLE, USAGE
from tests.worlds.certificate import make_certificate, server_context
from tests.worlds.command_line import cli

OPTIONS = [("--url", "wss", "ws"), ("--http-url", "https", "http")]
COMMANDS = [
    ["status"],
    ["find", "d", "document", "k"],
    ["jobs"],
    ["resume"],
    ["push", "k", "--destination", "d", "--kind", "document"],
]


async def _answer_401(stream: trio.abc.Stream) -> None:
    async with stream:
        received = b""
        while b"\r\n\r\n" not in received and not received.startswith(b"\x16"):  # 0x16 begins a TLS handshake
            received += await stream.receive_some() or b"\r\n\r\n"
        await stream.send_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


async def _shake_hands(certificate: tuple[Path, Path], stream: trio.SocketStream) -> None:
    tls = trio.SSLStream(stream, server_context(certificate), server_side=True, https_compatible=True)
    try:
        await _answer_401(tls)
    except trio.BrokenResourceError:
        await trio.aclose_forcefully(stream)


@pytest.fixture
async def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path)


@pytest.fixture
async def ports(nursery: trio.Nursery, certificate: tuple[Path, Path]) -> dict[str, int]:
    """The port of a server that asks for a token, over TLS and without."""
    found = {}
    for name, serve in (("tls", partial(_shake_hands, certificate)), ("plain", _answer_401)):
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        found[name] = listeners[0].socket.getsockname()[1]
    return found


@pytest.mark.parametrize(("option", "secure", "plain"), OPTIONS)
async def test_an_untrusted_certificate_is_named_and_not_taken_for_an_absent_service(
    ports: dict[str, int], monkeypatch: pytest.MonkeyPatch, option: str, secure: str, plain: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    ended = await cli("status", option, f"{secure}://localhost:{ports['tls']}")
    assert ended.code == UNREACHABLE
    assert "certificate" in ended.err, ended.err
    assert "self-signed" in ended.err, ended.err
    assert "SSL_CERT_FILE" in ended.err, ended.err
    assert "no service answers" not in ended.err


@pytest.mark.parametrize(("option", "secure", "plain"), OPTIONS)
async def test_a_certificate_for_another_name_is_named(
    ports: dict[str, int],
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    secure: str,
    plain: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    ended = await cli("status", option, f"{secure}://127.0.0.1:{ports['tls']}")
    assert ended.code == UNREACHABLE
    assert "127.0.0.1" in ended.err, ended.err
    assert "name it was issued for" in ended.err, ended.err


@pytest.mark.parametrize(("option", "secure", "plain"), OPTIONS)
async def test_an_own_authority_is_trusted_by_ssl_cert_file(
    ports: dict[str, int],
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    secure: str,
    plain: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    ended = await cli("status", option, f"{secure}://localhost:{ports['tls']}")
    assert ended.code == USAGE, ended.err
    assert "needs a token" in ended.err, ended.err  # so the handshake succeeded


@pytest.mark.parametrize(("option", "secure", "plain"), OPTIONS)
async def test_an_address_without_tls_is_named(ports: dict[str, int], option: str, secure: str, plain: str) -> None:
    ended = await cli("status", option, f"{secure}://localhost:{ports['plain']}")
    assert ended.code == UNREACHABLE
    assert "TLS handshake" in ended.err, ended.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(("option", "secure", "plain"), OPTIONS)
async def test_a_wrong_token_is_a_mistake_of_the_command_and_not_an_outage(
    ports: dict[str, int], option: str, secure: str, plain: str, command: list[str]
) -> None:
    ended = await cli(*command, option, f"{plain}://127.0.0.1:{ports['plain']}", "--token", "wrong")
    assert ended.code == USAGE, ended.err
    assert "does not know this token" in ended.err, ended.err
    assert "STREAMWARM_TOKEN" in ended.err, ended.err
