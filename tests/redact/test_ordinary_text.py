"""What an operator loses without these: messages, keys and ids that say what they say, though secrets are masked."""

from __future__ import annotations

import random
import uuid
from base64 import b64encode, urlsafe_b64encode
from hashlib import md5, sha256

import pytest

from streamwarm.redact import MASK, make_redactor, quote
from streamwarm.s3.verdicts import REMEDIES
from streamwarm.send.telegram.refusal_table import ROWS

# The end of a line that equals the first `BEGINNING` characters of a secret is masked. Of drawn ids some would match by
# chance: one in 65,536 per secret in hex. So the secrets are the same in every run.
_CHANCE = random.Random(0)
SECRETS = [
    "7123456789:AAabcdefghijklmnopqrstuvwxyz_012345",
    *(urlsafe_b64encode(_CHANCE.randbytes(32)).decode().rstrip("=") for _ in range(3)),
    *(_CHANCE.randbytes(32).hex() for _ in range(3)),
    "hunter22-password",
]
REDACT = make_redactor(SECRETS)
MESSAGES = [
    *(f"Telegram answered 400: Bad Request: {word}; {row.remedy}" for row in ROWS for word in row.words),
    *(
        f"the bucket answered 403 {code} for 'media/a b+c.mp4' in bucket 'media'; {text}"
        for code, text in REMEDIES.items()
    ),
    'the store postgresql://127.0.0.1:5432/jobs failed (28P01: password authentication failed for user "sw")',
    "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    "listening on ws://127.0.0.1:8787/ http://[::1]:8788/",
    "every byte was sent and the answer was lost (ReadError): the file may have been delivered",
    'Müller & Söhne – 100 % größer.mp4, 50%off, a\\b\\c, &nbsp; x&y=z, {"a": "\\u00e9\\/"}, 日本語 😀',
    "C:\\Users\\new\\table, \\\\host\\share, %PATH%, %2F%2f%252F, &amp;amp;, ?a=1&b=2",
    f"data:image/png;base64,{b64encode(random.Random(1).randbytes(600)).decode()}",
    f'sha256 {sha256(b"").hexdigest()}, etag "{md5(b"").hexdigest()}-12"',
    "2026-11-29T12:41:17.123456Z worker 3 of 5, 1234567 bytes, bot 7123456789, chat -1001234567890",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_an_ordinary_message_stays_as_it_is(message: str) -> None:
    assert REDACT(message) == message
    assert not REDACT.carries(message)


def test_ids_keys_and_digests_stay_as_they_are() -> None:
    chance = random.Random(5)
    for _ in range(2_000):
        for text in (
            urlsafe_b64encode(chance.randbytes(chance.randint(20, 90))).decode().rstrip("="),
            str(uuid.UUID(bytes=chance.randbytes(16))),
            chance.randbytes(32).hex(),
            f"media/{chance.randbytes(4).hex()}/Some File-{chance.randint(1, 10**9)}%20(1).mp4",
        ):
            assert not REDACT.carries(text)
            assert REDACT(text) == text


def test_words_are_cut_after_they_are_redacted() -> None:
    key = SECRETS[1]
    for before in range(160, 202):
        shown = quote(f"{'x' * before}{key} and more", REDACT)
        assert len(shown) <= 200
        assert not any(key[at : at + 4] in shown for at in range(len(key) - 3))


def test_control_characters_do_not_part_a_secret_for_long() -> None:
    parted = "\x00".join(SECRETS[1])
    assert quote(f"you sent {parted}", REDACT) == MASK
