"""The placeholders that a URL or a key may have: `{r2_key}`, `{sha256}` and `{kind}`. Pure."""

from __future__ import annotations

import re

from streamwarm.settings.checks import BadValue

PLACEHOLDERS = ("r2_key", "sha256", "kind")

BRACED = re.compile(r"\{([^{}]*)\}")


def check_placeholders(text: str) -> None:
    """Raise `BadValue` for an unknown placeholder or an unpaired brace."""
    for name in BRACED.findall(text):
        if name not in PLACEHOLDERS:
            allowed = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise BadValue(f"has an unknown placeholder; allowed: {allowed}")
    if re.search(r"[{}]", BRACED.sub("", text)):
        raise BadValue("has an unpaired brace; braces stand around placeholders only")


def uses(text: str, name: str) -> bool:
    """Whether the placeholder of this name stands in the text."""
    return f"{{{name}}}" in text
