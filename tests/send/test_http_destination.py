"""The HTTP destination alone: what may be configured, what goes over the wire, what its answers mean."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.errors import DestinationError, ErrorCode, InvalidJob, InvalidOptions, SettingsError
from streamwarm.model import Kind, NewJob
from streamwarm.net.guard import GuardedBackend
from streamwarm.net.pool import open_client
from streamwarm.send.destination import Media
from streamwarm.send.exchange import Answer
from streamwarm.send.http_destination import HttpDestination, read_refusal
from streamwarm.settings.convert import structure_table
from streamwarm.settings.destinations import parse_destinations, secrets_in
from streamwarm.settings.http import HttpSettings
from streamwarm.settings.secret import SecretStr
from tests.worlds.http_sink import HttpSink, serving
from tests.worlds.whole_body import Bytes

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SHA256 = "ab" * 32
MEDIA = Media("job-1", Kind.VIDEO, "media/a b.mp4", 5, "video/mp4", {}, SHA256)
JOB = NewJob("cdn", Kind.VIDEO, "media/a.mp4")
NOW = 1_772_366_405.0
HOSTILE = [
    "../x",
    "%2e%2e/x",
    "a/../../b",
    "a\r\nX-Evil: 1",
    "q\"uo'te?#&=",
    "🎬/é",
    "//host/x",
    "{sha256}",
    "a\\b",
    "x" * 1024,
]


def settings(**table: Any) -> HttpSettings:
    return structure_table(HttpSettings, {"type": "http", **table}, "[destinations.cdn]")


@pytest.mark.parametrize("url", ["https://h.example?key={r2_key}", "https://h.example/{kind}?k={r2_key}"])
def test_a_placeholder_behind_the_host_is_taken_wherever_it_stands(url: str) -> None:
    assert settings(url=url).url == url


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("ftp://h.example/{r2_key}", "https://"),
        ("https://user:pass-canary@h.example/{r2_key}", "credentials"),
        ("https://@h.example/{r2_key}", "credentials"),
        ("https://h.example/{name}", "placeholder; allowed: {r2_key}, {sha256}, {kind}"),
        ("https://h.example/{r2_key", "brace"),
        ("https://h.example/}{", "brace"),
        ("https://{r2_key}/", "host"),
        ("https://h.example:{kind}/", "URL"),
        ("https:///x", "host"),
        ("https://h.example:99999/x", "URL"),
        ("https://h.example/a\nb", "ASCII"),
        ("https://h.example/a b", "ASCII"),
        ("https://h.example/é", "ASCII"),
        ("https://h.example/{r2_key}#top", "fragment"),
        ("http://127.0.0.1:9/{r2_key}", "loopback address; set allow_private"),
        ("http://[::ffff:10.0.0.1]/{r2_key}", "IPv4-mapped address; set allow_private"),
        ("http://localhost/{r2_key}", "set allow_private"),
    ],
)
def test_a_wrong_url_is_refused_at_configuration_with_key_and_remedy(url: str, because: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(url=url)
    message = str(caught.value)
    assert message.startswith("[destinations.cdn] url: ")
    assert because in message
    assert "pass-canary" not in message


@pytest.mark.parametrize(
    ("headers", "because"),
    [
        ({"X-Key": "canary\r\nX-Evil: 1"}, "line break"),
        ({"X-Key": "canäry"}, "character"),
        ({"X Key": "canary"}, "name"),
        ({"X-Key:": "canary"}, "name"),
        ({"Content-Length": "1"}, "Content-Length"),
        ({"transfer-encoding": "chunked"}, "transfer-encoding"),
        ({"Host": "canary"}, "Host"),
        ({"X-Key": "canary", "x-key": "canary"}, "twice"),
        ({"X-Key": 1}, "text in quotes"),
        ("no colon", "a line"),
        (["X-Key"], "table"),
    ],
)
def test_a_wrong_header_is_refused_at_configuration_without_its_value(headers: Any, because: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(url="https://h.example/{r2_key}", headers=headers)
    message = str(caught.value)
    assert message.startswith("[destinations.cdn] headers: ")
    assert because in message
    assert "canary" not in message


def test_a_key_in_the_path_is_a_secret_and_a_word_in_it_is_not() -> None:
    hook = {
        "type": "http",
        "url": "https://h.example/services/T0A1B2C3D4E5F6G7H8I9J0/a-long-word-for-a-folder/{r2_key}",
    }
    assert secrets_in(parse_destinations({"cdn": hook})) == ["T0A1B2C3D4E5F6G7H8I9J0"]


def test_header_values_and_fixed_query_values_are_secrets() -> None:
    table = {
        "type": "http",
        "url": "https://h.example/put?key=query-canary&name={r2_key}",
        "headers": {
            "Authorization": "Bearer header-canary",
            "Cookie": "a=cookie-canary; b=2",
            "Cache-Control": "public, max-age=60",
        },
    }
    secrets = secrets_in(parse_destinations({"cdn": table}))
    assert {"Bearer header-canary", "header-canary", "cookie-canary", "query-canary"} <= set(secrets)
    assert not any("public" in secret or "{" in secret for secret in secrets)
    assert "canary" not in repr(settings(**{**table, "url": "https://h.example/"}))


def test_headers_may_come_from_the_environment_or_a_file(tmp_path: Any) -> None:
    text = "Authorization: Bearer abc:def\nX-Key: 1\n"
    (tmp_path / "headers").write_text(text)
    expected = {"Authorization": "Bearer abc:def", "X-Key": "1"}
    assert dict(settings(url="https://h.example/", headers=text).headers) == expected
    assert dict(settings(url="https://h.example/", headers_file=str(tmp_path / "headers")).headers) == expected


def destination(url: str, client: httpx.AsyncClient | None = None, **others: Any) -> HttpDestination:
    made = HttpSettings(url=url, allow_private=True, **others)
    return HttpDestination("cdn", made, client or httpx.AsyncClient(verify=NO_TLS), now=lambda: NOW)


def test_a_job_that_the_url_cannot_name_is_refused_at_push() -> None:
    with pytest.raises(InvalidJob, match="sha256"):
        destination("https://h.example/{sha256}").check_job(JOB)
    destination("https://h.example/{sha256}").check_job(evolve(JOB, sha256=SHA256))
    for key in (".", ".."):
        with pytest.raises(InvalidJob, match="r2_key"):
            destination("https://h.example/{r2_key}").check_job(evolve(JOB, r2_key=key))
        destination("https://h.example/?name={r2_key}").check_job(evolve(JOB, r2_key=key))
    with pytest.raises(InvalidOptions, match=r"options\.caption"):
        destination("https://h.example/{r2_key}").check_job(evolve(JOB, options={"caption": "x"}))


_URLS = st.one_of(
    st.text(),
    st.text("htps:/{}[]@?#%.:0123456789abcr2_keyh\\").map("https://{}".format),
    st.text("/{}r2_key?=.%x&").map("https://h.example{}".format),
)
_KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(_URLS, _KEYS)
def test_whatever_is_configured_and_pushed_is_refused_or_makes_a_clean_request_line(url: str, key: str) -> None:
    try:
        configured, client = settings(url=url, allow_private=True), httpx.AsyncClient(verify=NO_TLS)
        place = HttpDestination("cdn", configured, client, now=lambda: NOW)
        place.check_job(evolve(JOB, r2_key=key, sha256=SHA256))
        place.check_media(evolve(MEDIA, r2_key=key))
    except (SettingsError, InvalidJob):
        return
    target = place._target.fill(evolve(MEDIA, r2_key=key))
    assert target.startswith("/")
    assert target.isascii()
    assert not any(character.isspace() or not character.isprintable() for character in target)


async def test_an_object_goes_out_as_one_request_of_exact_length_with_its_type() -> None:
    sink = HttpSink([("ETag", '"e1"'), ("Location", "/files/1?sig=canary")])
    async with serving(sink), open_client(ssl_context=NO_TLS) as client:
        url = f"http://127.0.0.1:{sink.port}/{{kind}}/{{sha256}}?name={{r2_key}}"
        place = destination(url, client, method="POST", headers={"X-Key": SecretStr("k1")})
        reference = await place.deliver(MEDIA, Bytes(b"hello"))
    assert reference == {"status": 201, "etag": '"e1"', "location": "/files/1"}
    (received,) = sink.received
    assert (received.method, received.body) == ("POST", b"hello")
    assert received.target == f"/video/{SHA256}?name=media%2Fa%20b.mp4"
    assert received.headers["content-type"] == "video/mp4"
    assert received.headers["content-length"] == "5"
    assert received.headers["x-key"] == "k1"
    assert "transfer-encoding" not in received.headers


async def test_a_header_of_the_users_own_stands_in_place_of_ours() -> None:
    sink = HttpSink()
    async with serving(sink), open_client(ssl_context=NO_TLS) as client:
        own = {"content-type": SecretStr("application/x-own"), "USER-AGENT": SecretStr("own/1")}
        await destination(f"http://127.0.0.1:{sink.port}/{{r2_key}}", client, headers=own).deliver(
            MEDIA, Bytes(b"hello")
        )
    (received,) = sink.received
    assert (received.headers["content-type"], received.headers["user-agent"]) == ("application/x-own", "own/1")


@pytest.mark.parametrize("key", HOSTILE)
@pytest.mark.parametrize("template", ["/up/{r2_key}", "/up?name={r2_key}&x=1"])
async def test_a_hostile_key_stays_one_value_of_the_url(key: str, template: str) -> None:
    sink = HttpSink()
    async with serving(sink), open_client(ssl_context=NO_TLS) as client:
        place = destination(f"http://127.0.0.1:{sink.port}{template}", client)
        await place.deliver(evolve(MEDIA, r2_key=key, content_type="text/x\r\nX-Evil: 1"), Bytes(b"hello"))
    (received,) = sink.received
    before, _, after = template.partition("{r2_key}")
    assert received.target.startswith(before)
    assert received.target.endswith(after)
    value = received.target[len(before) : len(received.target) - len(after)]
    assert unquote(value) == key
    assert not set(value) & set("/?#& \\")
    assert "x-evil" not in received.headers


@pytest.mark.parametrize(
    "reference",
    [
        [("ETag", "header-canary"), ("Location", "/x/header-canary")],
        [("Location", "https://user:pw@h.example/x")],
        [("ETag", ""), ("Location", "")],
        [("ETag", "x" * 2000), ("Location", "a b")],
    ],
)
async def test_a_reference_never_holds_a_secret_or_rubbish(reference: list[tuple[str, str]]) -> None:
    sink = HttpSink(reference)
    async with serving(sink), open_client(ssl_context=NO_TLS) as client:
        headers = {"Authorization": SecretStr("Bearer header-canary")}
        place = destination(f"http://127.0.0.1:{sink.port}/{{r2_key}}", client, headers=headers)
        assert await place.deliver(MEDIA, Bytes(b"hello")) == {"status": 201}


async def test_a_guarded_client_reaches_no_private_endpoint() -> None:
    sink = HttpSink()
    async with serving(sink), open_client(ssl_context=NO_TLS, network_backend=GuardedBackend()) as client:
        with pytest.raises(DestinationError, match="loopback") as caught:
            await destination(f"http://127.0.0.1:{sink.port}/{{r2_key}}", client).deliver(MEDIA, Bytes(b"hello"))
    assert (caught.value.code, caught.value.permanent) == (ErrorCode.DESTINATION_REFUSED, True)
    assert sink.received == []


def answered(status: int, body: bytes = b"", **headers: str) -> DestinationError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_refusal(Answer(status, httpx.Headers(named), body, whole=True), now=NOW)


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (301, ErrorCode.DESTINATION_REFUSED, True),
        (307, ErrorCode.DESTINATION_REFUSED, True),
        (400, ErrorCode.DESTINATION_REFUSED, True),
        (401, ErrorCode.UNAUTHORIZED, False),
        (403, ErrorCode.DESTINATION_REFUSED, True),
        (404, ErrorCode.DESTINATION_REFUSED, True),
        (408, ErrorCode.DESTINATION_UNAVAILABLE, False),
        (413, ErrorCode.TOO_LARGE, True),
        (425, ErrorCode.DESTINATION_UNAVAILABLE, False),
        (429, ErrorCode.RATE_LIMITED, False),
        (500, ErrorCode.DESTINATION_UNAVAILABLE, False),
        (503, ErrorCode.DESTINATION_UNAVAILABLE, False),
        (599, ErrorCode.DESTINATION_UNAVAILABLE, False),
    ],
)
def test_a_status_is_permanent_only_where_another_attempt_cannot_help(
    status: int, code: ErrorCode, permanent: bool
) -> None:
    error = answered(status)
    assert (error.code, error.permanent) == (code, permanent)
    assert str(status) in error.message


def test_retry_after_is_obeyed_in_both_its_forms() -> None:
    later = answered(429, retry_after="Sun, 01 Mar 2026 12:00:35 GMT")
    assert (later.retry_after_s, later.counts, later.pauses_destination) == (30.0, False, True)
    busy = answered(503, retry_after="17")
    assert (busy.retry_after_s, busy.counts, busy.pauses_destination) == (17.0, True, True)
    assert answered(429).retry_after_s == 1.0
    assert answered(503).pauses_destination is False


def test_the_endpoints_words_are_told_and_its_pages_are_not() -> None:
    assert answered(400, b"bad\r\n name", content_type="text/plain; charset=utf-8").message.endswith(": bad name")
    assert "<" not in answered(502, b"<html>Bad gateway</html>", content_type="text/html").message
    assert len(answered(400, b"x" * 5000, content_type="application/json").message) < 300
