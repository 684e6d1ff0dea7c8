"""What an operator loses without these: a bot token or a key in a log that others read."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarm.redact import MASK, SHORTEST, make_redactor, redact_value

secrets = st.text(st.characters(codec="utf-8"), min_size=SHORTEST, max_size=40).filter(lambda text: "*" not in text)
texts = st.text(st.characters(codec="utf-8"), max_size=40)


def in_lower_case(encoded: str) -> str:
    """`%3A` as `%3a`: both are in use and mean the same."""
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.lists(inner, min_size=1, max_size=3).map(tuple)
            | st.dictionaries(st.sampled_from(["a", "b"]), inner, min_size=1)
        ),
        max_leaves=5,
    )


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@settings(max_examples=50)
@given(secret=secrets, before=texts, after=texts)
def test_a_secret_is_found_wherever_it_stands_and_however_it_is_encoded(secret: str, before: str, after: str) -> None:
    redact = make_redactor([secret])
    for form in (secret, quote(secret, safe=""), quote(secret), in_lower_case(quote(secret, safe=""))):
        assert form not in redact(f"{before}{form}{after}")


@settings(max_examples=50)
@given(st.data())
def test_a_secret_is_found_at_any_depth_of_a_value(data: st.DataObject) -> None:
    secret = "canary-4f1c9d2e"
    value = data.draw(nested(texts.map(lambda text: text + secret) | st.integers() | st.none()))
    shown = redact_value(make_redactor([secret]), value)
    assert secret not in repr(shown)
    unchanged = [leaf for leaf in leaves(value) if not isinstance(leaf, str)]
    assert [leaf for leaf in leaves(shown) if not isinstance(leaf, str)] == unchanged


@settings(max_examples=50)
@given(text=texts, others=st.lists(secrets, max_size=3))
def test_a_text_without_secrets_is_left_as_it_is(text: str, others: list[str]) -> None:
    if not any(form in text for other in others for form in (other, quote(other, safe=""))):
        assert make_redactor(others)(text) == text


def test_of_two_secrets_that_begin_alike_neither_is_half_shown() -> None:
    redact = make_redactor(["canary-one", "canary-one-longer"])
    assert redact("<canary-one-longer> <canary-one>") == f"<{MASK}> <{MASK}>"


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("POST https://api.telegram.org/bot123456789:AAabcdefghijklmnopqrstuvwxyz_012345/sendVideo", "AAabcdef"),
        ("token 123456789:AAabcdefghijklmnopqrstuvwxyz_012345 refused", "AAabcdef"),
        ("https://b.r2.example/k?X-Amz-Date=1&X-Amz-Signature=deadbeef0123&x=1", "deadbeef0123"),
        ("https://b.r2.example/k?X-Amz-Credential=AKIDEXAMPLE%2F2026", "AKIDEXAMPLE"),
        ("Authorization: Bearer s3cr3t-token-value", "s3cr3t-token-value"),
    ],
)
def test_secrets_of_others_are_known_by_their_form(text: str, leaks: str) -> None:
    shown = make_redactor([])(text)
    assert leaks not in shown
    assert MASK in shown
