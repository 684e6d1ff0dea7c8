"""What an operator loses without these: a key that an endpoint echoed and the store keeps, and a bound on answers."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarm.net.pool import open_client
from streamwarm.settings.secret import SecretStr
from tests.redact.test_codings import CODINGS
from tests.send.test_http_destination import MEDIA, NO_TLS, Bytes, destination
from tests.worlds.http_sink import HttpSink, serving


async def reference_from(sink: HttpSink, key: str) -> dict[str, Any]:
    async with serving(sink), open_client(ssl_context=NO_TLS) as client:
        headers = {"Authorization": SecretStr(f"Bearer {key}")}
        place = destination(f"http://127.0.0.1:{sink.port}/{{r2_key}}", client, headers=headers)
        return await place.deliver(MEDIA, Bytes(b"hello"))


@pytest.mark.parametrize("coding", sorted(CODINGS))
async def test_a_reference_holds_no_secret_in_whatever_coding_it_is_echoed(coding: str) -> None:
    coded = CODINGS[coding]("header-canary/0+1", [True, False])
    sink = HttpSink([("ETag", f'"{coded}"'), ("Location", f"/x/{coded}")])
    reference = await reference_from(sink, "header-canary/0+1")
    assert reference.pop("location", "/x/&") == "/x/&"  # it is cut at the first #
    assert reference == {"status": 201}


@pytest.mark.parametrize("name", ["ETag", "Location"])
async def test_what_is_longer_than_a_reference_may_be_is_not_kept(name: str) -> None:
    assert await reference_from(HttpSink([(name, "x" * 1025)]), "header-canary") == {"status": 201}
    assert await reference_from(HttpSink([(name, "x" * 1024)]), "header-canary") != {"status": 201}
