"""Masks secrets in every text that is written. A last line of defence: the code should not print secrets anyway. Pure.

The service's own secrets are known and searched for literally. Presigned URLs and other bots' tokens are recognised by
their form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

MASK = "***"
SHORTEST = 6
"""Shorter secrets (in characters) are not masked, because that would mask ordinary words. They protect nothing
anyway."""

_FORMS = re.compile(
    r"(?P<bot>\bbot)?[0-9]{6,12}:[A-Za-z0-9_-]{30,}"
    r"|(?P<query>[?&]X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+"
    r"|(?P<bearer>\bBearer\s+)[A-Za-z0-9._~+/=-]{6,}"
)


def make_redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that masks every secret in a text, even if it is percent-encoded."""
    known = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    exact = re.compile("|".join(re.escape(s) for s in sorted(known, key=len, reverse=True))) if known else None

    def redact(text: str) -> str:
        if exact is not None:
            text = exact.sub(MASK, text)
        return _FORMS.sub(lambda m: f"{m['bot'] or m['query'] or m['bearer'] or ''}{MASK}", text)

    return redact


def _forms(secret: str) -> Iterable[str]:
    """The secret as it is, and percent-encoded: with or without its slashes, in upper or lower case."""
    yield secret
    for encoded in (quote(secret, safe=""), quote(secret)):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


def redact_value(redact: Callable[[str], str], value: Any) -> Any:
    """The value with every text in it redacted. Containers are rebuilt; values of other types are returned as they
    are."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_value(redact, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(redact, item) for item in value]
    return value
