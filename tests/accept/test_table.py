"""The published schemas and the checks must agree, or a client made from a document is refused, or never uses what is
allowed. Rules that JSON Schema cannot express are named here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streamwarm.accept.describe.asyncapi import METHOD_SCHEMAS
from streamwarm.accept.describe.schemas import SCHEMAS
from streamwarm.accept.wire.containers import MAX_OPTIONS_BYTES, Array, Options
from streamwarm.accept.wire.fields import (
    LATEST,
    MAX_ID_CHARACTERS,
    Digest,
    Field,
    FieldError,
    Flag,
    Id,
    Key,
    Text,
    Time,
    Whole,
    Word,
    is_unicode,
)
from streamwarm.accept.wire.record_fields import Cursor, Etag, Reference, Words, cursor_text, unquoted_etag
from streamwarm.accept.wire.requests import METHODS
from streamwarm.accept.wire.shapes import EitherShape, Shape
from streamwarm.accept.wire.table import (
    IMPORTED_RECORD,
    INVALID_BODY,
    MAX_JOBS,
    MAX_LIMIT,
    MAX_WATCHED,
    NEW_JOB,
    PARAMS,
)
from streamwarm.backlog.records import RecordPlace
from streamwarm.model import MAX_KEY_BYTES
from streamwarm.send.destination import MAX_REFERENCE_CHARS

PLACE = cursor_text(RecordPlace("media/é\x01.mp4", "mybot", "video", "4242"))

SHAPES: dict[str, Shape | EitherShape] = {
    **PARAMS,
    "job": NEW_JOB,
    "imported": IMPORTED_RECORD,
    "invalid_body": INVALID_BODY,
}


def parts(shape: Shape | EitherShape) -> list[Shape]:
    return [shape] if isinstance(shape, Shape) else [shape.given, shape.otherwise]


FIELDS = {
    f"{where}.{name}": one
    for where, shape in SHAPES.items()
    for part in parts(shape)
    for name, one in part.fields.items()
}


def is_text_utf8_cannot_hold(value: Any) -> bool:
    return isinstance(value, str) and not is_unicode(value)


def is_key_r2_cannot_hold(value: Any) -> bool:
    """Its size is counted in bytes, not characters, and it has no NUL."""
    return isinstance(value, str) and (not is_unicode(value) or "\0" in value or len(value.encode()) > MAX_KEY_BYTES)


def is_id_beyond_the_pattern(value: Any) -> bool:
    """Printable text outside ASCII is accepted too; ECMA's patterns cannot express it. And in Python's dialect, which
    jsonschema uses, `$` also matches before a final newline."""
    return isinstance(value, str) and (not value.isascii() or value.endswith("\n"))


def is_ended_by_a_newline(value: Any) -> bool:
    """In Python's dialect, `$` also matches before a final newline."""
    return isinstance(value, str) and value.endswith("\n")


def is_float_that_skips_numbers(value: Any) -> bool:
    """A whole number beyond 2**53 must be written without point or exponent."""
    return type(value) is float and value > 2**53


def is_time_in_text(value: Any) -> bool:
    """Most validators ignore `format`, and `date-time` allows years before 1970."""
    return isinstance(value, str)


def is_too_much_or_not_utf8(value: Any) -> bool:
    return isinstance(value, dict) and any(
        isinstance(text, str) and (not is_unicode(text) or len(text) > MAX_OPTIONS_BYTES - 100)
        for text in value.values()
    )


def is_no_etag(value: Any) -> bool:
    """What is left within its quotes may be nothing, or no printable ASCII."""
    bare = unquoted_etag(value) if isinstance(value, str) else "a"
    return not bare or len(bare) > MAX_REFERENCE_CHARS or not re.fullmatch("[ -~]+", bare)


def is_no_place(value: Any) -> bool:
    """The text must be one that `next` had."""
    return isinstance(value, str) and value != PLACE


UNSAYABLE: Mapping[type[Field], Callable[[Any], bool]] = {
    Text: is_text_utf8_cannot_hold,
    Key: is_key_r2_cannot_hold,
    Id: is_id_beyond_the_pattern,
    Digest: is_ended_by_a_newline,
    Etag: is_no_etag,
    Reference: is_ended_by_a_newline,
    Words: is_text_utf8_cannot_hold,
    Cursor: is_no_place,
    Whole: is_float_that_skips_numbers,
    Time: is_time_in_text,
    Options: is_too_much_or_not_utf8,
}
"""What JSON Schema cannot express, by the field's type. Types that are not here agree for every value."""


def is_unsayable(one: Field, value: Any) -> bool:
    if isinstance(one, Array):
        return isinstance(value, list) and one.items is not None and any(is_unsayable(one.items, it) for it in value)
    return UNSAYABLE.get(type(one), lambda _: False)(value)


JSON = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
)
OTHER = JSON | st.lists(JSON, max_size=2) | st.dictionaries(st.text(max_size=3), JSON, max_size=2)


def near(*bounds: int) -> st.SearchStrategy[Any]:
    numbers = st.sampled_from([bound + step for bound in bounds for step in (-1, 0, 1)])
    return numbers | numbers.map(float) | numbers.map(lambda number: number + 0.5)


def long_text(*lengths: int, letters: str = "aaaaé\n\x07\ud800") -> st.SearchStrategy[str]:
    sizes = st.sampled_from([max(0, length + step) for length in lengths for step in (-1, 0, 1)])
    return st.builds(
        lambda size, letter, end: letter * size + end, sizes, st.sampled_from(letters), st.sampled_from(["", "", "\n"])
    )


def around(one: Field) -> st.SearchStrategy[Any]:
    """Values at each bound of the field, just inside and just outside, and values of other types."""
    few = st.booleans().flatmap(lambda _: OTHER)
    match one:
        case Key():
            return few | long_text(0, 1, MAX_KEY_BYTES // 2, MAX_KEY_BYTES)
        case Etag() | Reference() | Cursor():
            return few | around_record_field(one)
        case Text():
            return few | long_text(0, 1)
        case Id():
            return few | long_text(0, 1, MAX_ID_CHARACTERS)
        case Digest():
            return few | long_text(64, letters="afAFgG0\uff19")
        case Word():
            words = st.sampled_from([word.value for word in one.words])
            return OTHER | words | words.map(str.upper) | words.map(lambda word: word + "\n")
        case Whole():
            return few | near(one.minimum, one.maximum, 2**53)
        case Time():
            return few | near(0, LATEST)
        case Options():
            return OTHER | st.fixed_dictionaries({"caption": long_text(MAX_OPTIONS_BYTES)})
        case Array():
            item = OTHER if one.items is None else around(one.items)
            sizes = st.sampled_from([one.at_most - 1, one.at_most, one.at_most + 1])
            full = st.builds(lambda size: ["a"] * size, sizes if one.at_most <= MAX_JOBS else st.just(2))
            return OTHER | st.lists(item, max_size=2) | full
        case Flag():
            return OTHER | st.sampled_from(["true", 0, 1])
    raise AssertionError(f"no values around {one}")


def around_record_field(one: Field) -> st.SearchStrategy[Any]:
    match one:
        case Etag():
            quoted = st.sampled_from(['"a"', 'W/"a"', '""', 'W/"', "a b", '"'])
            return quoted | long_text(0, 1, MAX_REFERENCE_CHARS)
        case Reference():
            return long_text(0, 1, MAX_REFERENCE_CHARS, letters="aaa \x07é")
    return st.just(PLACE)


def is_accepted(read: Callable[[], Any]) -> bool:
    try:
        read()
    except FieldError:
        return False
    return True


def is_described(schema: Mapping[str, Any], value: Any) -> bool:
    whole = {**schema, "components": {"schemas": SCHEMAS}}
    return bool(jsonschema.Draft202012Validator(whole).is_valid(value))


@pytest.mark.parametrize("where", FIELDS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_field_takes_what_its_schema_says_and_nothing_else(where: str, data: st.DataObject) -> None:
    one = FIELDS[where]
    value = data.draw(around(one))
    assume(not is_unsayable(one, value))
    assert is_accepted(lambda: one.read({"it": value}, "it")) == is_described(one.member(), value)


@pytest.mark.parametrize("where", SHAPES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_params_take_what_their_schema_says_and_nothing_else(where: str, data: st.DataObject) -> None:
    """Objects with missing, null, unknown and mutually exclusive fields."""
    shape = SHAPES[where]
    fields = {name: one for part in parts(shape) for name, one in part.fields.items()}
    names = data.draw(st.sets(st.sampled_from([*fields]))) if fields else set()
    value = {name: data.draw(good(fields[name])) for name in names}
    for name in data.draw(st.sets(st.sampled_from([*fields, "other"]), max_size=1)):
        value[name] = data.draw(st.none() | around(fields[name])) if name in fields else 1
    assume(not any(is_unsayable(one, value.get(name)) for name, one in fields.items()))
    assert is_accepted(lambda: shape.read(value)) == is_described(shape.definition(), value)


def good(one: Field) -> st.SearchStrategy[Any]:
    match one:
        case Word():
            return st.sampled_from([word.value for word in one.words])
        case Digest():
            return st.just("aB" * 32)
        case Whole() | Time():
            return st.just(1)
        case Flag():
            return st.booleans()
        case Options():
            return st.just({})
        case Array():
            return st.just(["a"])
        case Cursor():
            return st.just(PLACE)
    return st.just("a")


def test_a_watch_by_ids_ends_at_the_same_number_in_both() -> None:
    """A test of its own, because an array of that size takes too long to draw often."""
    one = FIELDS["watch.ids"]
    for size in (MAX_WATCHED, MAX_WATCHED + 1):
        value = ["a"] * size
        assert is_accepted(lambda ids=value: one.read({"ids": ids}, "ids")) is (size == MAX_WATCHED)
    assert one.rule()["maxItems"] == MAX_WATCHED
    assert FIELDS["retry_jobs.ids"].rule()["maxItems"] == MAX_LIMIT


def test_every_method_is_checked_by_the_table_that_describes_it() -> None:
    assert set(METHODS) == set(PARAMS) == set(METHOD_SCHEMAS)
