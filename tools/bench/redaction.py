"""What a log line costs to redact: `python -m tools.bench.redaction`.

The secrets are made up; the lines are what a service logs most. Compared with a copy of what version 0.1 did: one
regular expression of all secrets, raw and percent-encoded.
"""

from __future__ import annotations

import re
import secrets
import time
import timeit
from collections.abc import Callable
from urllib.parse import quote

from streamwarm.redact import make_redactor

WHEN = "2026-11-29T12:41:17.123456Z"
ABOUT = f"info\n{WHEN}\n0193a5c2-7f3e-7abc-9def-01c3e56b89ab\nmybot\nvideo"
SAID = "Telegram answered 400: Bad Request: wrong file identifier/HTTP URL specified"
LINES = {
    "done": f"[MEDIA][PREWARM][OK]\n{ABOUT}\nmedia/2026/11/29/some-video-file_name.mp4\n1\n1234567\n0.512\n1.512",
    "failed": f"[MEDIA][PREWARM][ERR]\n{ABOUT}\nmedia/a.mp4\n1\ndestination_refused\n{SAID}\nfailed",
    "a key with escapes": f"[MEDIA][PREWARM][OK]\n{ABOUT}\nmedia/Tom%20%26%20Jerry.mp4\n1\n1234567\n0.512\n1.512",
}
ROUNDS, REPEATS = 2_000, 7


def made_up() -> list[str]:
    token = f"{secrets.randbelow(9 * 10**9) + 10**9}:{secrets.token_urlsafe(26)[:35]}"
    return [token, secrets.token_urlsafe(32), secrets.token_hex(16), secrets.token_hex(32), secrets.token_urlsafe(24)]


def version_0_1(known: list[str]) -> Callable[[str], str]:
    forms = set(known)
    for encoded in [form for secret in known for form in (quote(secret, safe=""), quote(secret))]:
        forms |= {encoded, re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)}
    exact = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    shapes = re.compile(
        r"(?P<bot>\bbot)?[0-9]{6,12}:[A-Za-z0-9_-]{30,}"
        r"|(?P<query>[?&]X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+"
        r"|(?P<bearer>\bBearer\s+)[A-Za-z0-9._~+/=-]{6,}"
    )
    return lambda text: shapes.sub("***", exact.sub("***", text))


def microseconds(function: Callable[[], object]) -> float:
    return min(timeit.repeat(function, timer=time.process_time, number=ROUNDS, repeat=REPEATS)) / ROUNDS * 1e6


def main() -> None:
    known = made_up()
    now, before = make_redactor(known), version_0_1(known)
    for name, line in LINES.items():
        assert now(line) == line
        old_us = microseconds(lambda line=line: before(line))  # type: ignore[misc]
        new_us = microseconds(lambda line=line: now(line))  # type: ignore[misc]
        print(f"{name:20} {len(line)} characters: {old_us:5.1f} µs before, {new_us:5.1f} µs now, {new_us / old_us:.2f}")


if __name__ == "__main__":
    main()
