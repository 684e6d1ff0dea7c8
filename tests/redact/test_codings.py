"""What an operator loses without these: a key or token that a peer echoes in a coding that was not thought of."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.redact import MASK, PART, make_redactor

KEY = "sk-Live_a+b/c=d0123456789xyzXYZ-9QWERTZUIOP0asdfghjklyxcvbnm+/=="

secrets = st.text(st.sampled_from("abcdefXYZ019+/=-_.~:@ %&\\\"'<>#;é"), min_size=6, max_size=70).filter(
    lambda text: text.isprintable() and text == text.strip() and not text.isdigit()
)
surroundings = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["%", "\\", "&", "%4", "%25", "\\u00", "&#", "&amp;", "Bearer ", "/", "AAAA", '{"error":"', "=", "://"]
)


def some(encode: Callable[[str], str]) -> Callable[[str, list[bool]], str]:
    """Encode only some of the characters: `which` says which."""
    return lambda text, which: "".join(encode(c) if which[n % len(which)] else c for n, c in enumerate(text))


def as_percent(c: str) -> str:
    return "".join(f"%{byte:02X}" for byte in c.encode())


def as_json_unit(c: str) -> str:
    return json.dumps(c)[1:-1] if ord(c) > 0xFFFF else f"\\u{ord(c):04X}"


CODINGS: dict[str, Callable[[str, list[bool]], str]] = {
    "raw": lambda text, _: text,
    "percent": some(as_percent),
    "percent in lower case": some(lambda c: as_percent(c).lower()),
    "percent as usual": lambda text, _: quote(text),
    "JSON": lambda text, _: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON units": some(as_json_unit),
    "HTML decimal": some(lambda c: f"&#{ord(c)};"),
    "HTML hexadecimal": some(lambda c: f"&#x{ord(c):x};"),
    "HTML names": lambda text, _: html.escape(text).replace("+", "&plus;").replace("/", "&sol;"),
    "base64": lambda text, which: base64.b64encode(b"x" * (len(which) % 3) + text.encode()).decode(),
    "urlsafe base64": lambda text, which: base64.urlsafe_b64encode(b"x" * (len(which) % 3) + text.encode()).decode(),
}
UNDO: list[Callable[[str], str]] = [
    unquote,
    html.unescape,
    lambda text: re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text),
    lambda text: re.sub(r"\\([^u])", r"\1", text),
]


def readings(text: str, depth: int) -> Iterator[str]:
    """All that a reader can make of a text by undoing codings, up to `depth` times."""
    seen, layer = {text}, {text}
    yield text
    for _ in range(depth):
        layer = {found for one in layer for found in (*(undo(one) for undo in UNDO), *base64_in(one))} - seen
        seen |= layer
        yield from layer


def base64_in(text: str) -> Iterator[str]:
    for match in re.finditer(r"[A-Za-z0-9+/_-]{8,}", text):
        run = match[0].replace("-", "+").replace("_", "/")
        for shift in range(4):
            whole = run[shift : shift + (len(run) - shift) // 4 * 4]
            yield base64.b64decode(whole).decode("utf-8", "replace")


def shown_of(secret: str, text: str, depth: int) -> list[str]:
    """The parts of the secret that a reader still finds."""
    length = min(PART, len(secret))
    parts = [secret[at : at + length] for at in range(len(secret) - length + 1)]
    return [part for reading in readings(text, depth) for part in parts if part in reading]


@settings(max_examples=60, deadline=None)
@given(
    secret=secrets,
    codings=st.lists(st.sampled_from(sorted(CODINGS)), min_size=1, max_size=3),
    which=st.lists(st.booleans(), min_size=1, max_size=7),
    before=surroundings,
    after=surroundings,
    cut=st.floats(0, 1),
    cuts_first=st.booleans(),
)
def test_nothing_of_a_secret_remains_in_whatever_codings_it_comes_and_wherever_it_is_cut(
    secret: str, codings: list[str], which: list[bool], before: str, after: str, cut: float, cuts_first: bool
) -> None:
    coded = secret
    for coding in codings:
        coded = CODINGS[coding](coded, which)
    text = f"{before}{coded}{after}"
    kept = round(len(text) * cut)
    redact = make_redactor([secret])
    shown = redact(text[:kept]) if cuts_first else redact(text)[:kept]
    assert shown_of(secret, shown, len(codings)) == []


@pytest.mark.parametrize("coding", sorted(CODINGS))
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_key_in_each_coding_leaves_no_trace(coding: str, times: int) -> None:
    coded = KEY
    for _ in range(times):
        coded = CODINGS[coding](coded, [True, False, True, True])
    shown = make_redactor([KEY])(f"you sent <{coded}>, which is wrong")
    assert shown_of(KEY, shown, times) == []
    assert MASK in shown
    assert shown.startswith("you sent <")
    assert shown.endswith(", which is wrong")


@pytest.mark.parametrize("length", range(4, len(KEY)))
def test_what_a_cut_leaves_of_a_key_is_masked(length: int) -> None:
    redact = make_redactor([KEY])
    assert redact(f"the key {KEY[:length]}") == f"the key {MASK}"
    shown = redact(f"the key {quote(KEY, safe='')[:length]}")
    assert re.fullmatch(r"the key \*\*\*(%[0-9A-F]?)?", shown)


@pytest.mark.parametrize("at", range(0, len(KEY) - PART))
def test_a_part_of_a_key_is_masked_wherever_it_is_of_it(at: int) -> None:
    redact = make_redactor([KEY])
    assert redact(f"<{KEY[at : at + PART]}>") == f"<{MASK}>"
    assert redact(f"<{KEY[at : at + PART].upper()}>") == f"<{MASK}>"


def test_a_text_that_never_ends_to_be_encoded_is_not_shown() -> None:
    text = KEY
    for number in range(12):
        text = CODINGS[("percent", "HTML decimal", "JSON units")[number % 3]](text, [False] * 5 + [True])
    assert shown_of(KEY, make_redactor([KEY])(text), 3) == []


RARER_CODINGS: dict[str, Callable[[str], str]] = {
    "HTML decimal with seven digits": lambda c: f"&#{ord(c):07d};",
    "HTML decimal with twenty digits": lambda c: f"&#{ord(c):020d};",
    "HTML hexadecimal with twelve digits": lambda c: f"&#X{ord(c):012X};",
    "JavaScript's escape": lambda c: f"%u{ord(c):04x}",
    "JavaScript's escape, in percent": lambda c: f"%25u{ord(c):04X}",
    "Python's long escape": lambda c: f"\\U{ord(c):08x}",
    "octal": lambda c: f"\\{ord(c):03o}",
    "octal in JSON": lambda c: f"\\\\{ord(c):03o}",
}


@pytest.mark.parametrize("coding", RARER_CODINGS)
def test_a_key_is_masked_in_the_rarer_forms_of_each_coding(coding: str) -> None:
    shown = make_redactor([KEY])(f"you sent <{''.join(map(RARER_CODINGS[coding], KEY))}>, which is wrong")
    assert shown == f"you sent <{MASK}>, which is wrong"


@pytest.mark.parametrize("coding", RARER_CODINGS)
def test_a_cut_within_an_escape_does_not_show_the_beginning_of_a_key(coding: str) -> None:
    coded = list(map(RARER_CODINGS[coding], KEY))
    whole = "".join(coded)
    for length in range(len("".join(coded[:4])), len(whole)):
        shown = make_redactor([KEY])(f"the key {whole[:length]}")
        assert MASK in shown, length
        assert "".join(coded[:4]) not in shown
