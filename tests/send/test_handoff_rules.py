"""What a user loses without these: a hand-off that Telegram cannot serve costs a round trip, and a secret address may
become public."""

from __future__ import annotations

import html
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.model import Kind
from streamwarm.send.checks import check_handoff
from streamwarm.send.destination import Media
from streamwarm.send.telegram import handoff
from streamwarm.settings.secret import SecretStr
from streamwarm.settings.telegram import TelegramSettings

SIGNATURE = "0f" * 8 + "3a9c71e24b" * 4 + "d5b8e6f0"
URL = (
    "https://id.r2.cloudflarestorage.com/media/a%20b.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=key%2F20260101"
    f"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
)


def media(kind: Kind, size_bytes: int, content_type: str | None) -> Media:
    return Media("job-1", kind, "a", size_bytes, content_type, {})


@pytest.mark.parametrize(
    ("kind", "limit", "content_type"),
    [
        (Kind.PHOTO, 5_000_000, "image/jpeg"),
        (Kind.PHOTO, 5_000_000, "Image/PNG; charset=binary"),
        (Kind.VIDEO, 10_000_000, "video/mp4"),
        (Kind.ANIMATION, 10_000_000, "video/mp4"),
        (Kind.ANIMATION, 20_000_000, "image/gif"),
        (Kind.AUDIO, 20_000_000, "audio/mpeg"),
        (Kind.VOICE, 1_000_000, "audio/ogg"),
        (Kind.DOCUMENT, 20_000_000, "application/pdf"),
        (Kind.DOCUMENT, 20_000_000, "application/zip"),
    ],
)
def test_what_telegram_fetches_ends_at_its_limits(kind: Kind, limit: int, content_type: str) -> None:
    assert handoff.can_be_fetched(kind)
    assert handoff.is_fetchable(media(kind, limit, content_type))
    assert not handoff.is_fetchable(media(kind, limit + 1, content_type))


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        (Kind.VIDEO_NOTE, "video/mp4"),
        (Kind.DOCUMENT, "video/mp4"),
        (Kind.DOCUMENT, "application/pdfx"),
        (Kind.AUDIO, "audio/ogg"),
        (Kind.VIDEO, "application/octet-stream"),
        (Kind.PHOTO, None),
        (Kind.PHOTO, ""),
    ],
)
def test_what_telegram_would_not_fetch_is_streamed_at_once(kind: Kind, content_type: str | None) -> None:
    assert not handoff.is_fetchable(media(kind, 1000, content_type))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "minio", "10.1.2.3", "[::1]", "fd00::1", "r2.internal", "nas.local", "169.254.1.1", ""],
)
def test_a_bucket_that_only_we_can_reach_is_not_offered_to_the_cloud(host: str) -> None:
    assert not handoff.is_within_reach(host, asked_at="api.telegram.org")
    assert handoff.is_within_reach(host, asked_at="127.0.0.1")  # it may stand beside the bucket


def test_a_public_bucket_is_offered_to_every_bot_api() -> None:
    for asked_at in ("api.telegram.org", "127.0.0.1", "bot-api"):
        assert handoff.is_within_reach("id.r2.cloudflarestorage.com", asked_at=asked_at)


def test_check_tells_that_a_private_bucket_is_out_of_telegrams_reach() -> None:
    settings = TelegramSettings(token=SecretStr("1:secret"), chats=(-1,), handoff="auto")
    for bucket_url, ok in (
        ("https://id.r2.cloudflarestorage.com", True),
        ("http://127.0.0.1:9000", False),
        ("", False),
    ):
        found = check_handoff("mybot", settings, bucket_url)
        assert (found.what, found.ok) == ("mybot: hand-off", ok)
        assert ok or 'handoff = "never"' in found.detail


@pytest.mark.parametrize(
    "escaped",
    [
        URL,
        URL.upper(),
        quote(URL, safe=""),
        quote(quote(URL, safe=""), safe=""),
        html.escape(URL),
        URL[: URL.index("X-Amz-Signature") + 40],
        SIGNATURE[20:34],
        "x-amz-security-token",
    ],
)
def test_an_answer_that_quotes_the_address_in_any_form_is_noticed(escaped: str) -> None:
    assert handoff.quotes_address(f"Bad Request: could not get <{escaped}>", URL)


@given(cut=st.integers(0, 55), length=st.integers(9, 64))
def test_no_part_of_the_signature_gets_through(cut: int, length: int) -> None:
    part = SIGNATURE[cut : cut + length]
    assert handoff.quotes_address(f"no {part} here", URL) == (len(part) >= 8)


@pytest.mark.parametrize(
    "said", ["Bad Request: failed to get HTTP URL content", "Bad Request: wrong type of the web page content", ""]
)
def test_telegrams_own_words_are_kept(said: str) -> None:
    assert not handoff.quotes_address(said, URL)
