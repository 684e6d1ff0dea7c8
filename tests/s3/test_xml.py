"""What a library's owner loses without these: every object behind one odd answer of an S3 server (fault 40)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarm.s3.xml import parse_xml, read_error, tag, text

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
ERROR = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@pytest.mark.parametrize(
    "before",
    [
        b"",
        DECLARATION,
        b"\n\n \r\n\t" + DECLARATION,
        b" " * 5000 + DECLARATION + b"\n",
        b"\xef\xbb\xbf" + DECLARATION,
        b"\n\xef\xbb\xbf" + DECLARATION,
        DECLARATION + b"\n" + DECLARATION,
        DECLARATION + b"<!-- proxied -->\n",
        b"\xef\xbb\xbf<!-- a -->" + DECLARATION + b"<?pi?>",
    ],
)
def test_what_a_server_sends_before_an_answer_hides_nothing_of_it(before: bytes) -> None:
    assert read_error(before + ERROR) == ("SlowDown", " (Reduce your request rate.)")
    assert read_error(before + ERROR + b"\n\n")[0] == "SlowDown"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        (b"a\x01b", "a\x01b"),
        (b"a&#x1;b", "a\x01b"),
        (b"a&#31;b", "a\x1fb"),
        (b"a\x00b", "a\x00b"),
        (b"cats & dogs", "cats & dogs"),
        (b"cats &amp; dogs", "cats & dogs"),
        (b"a&#9;b", "a\tb"),
        ("sch\u00f6n \U0001f3ac".encode(), "sch\u00f6n \U0001f3ac"),
    ],
)
def test_an_odd_key_is_read_as_it_is_and_its_neighbours_stay(written: bytes, key: str) -> None:
    body = b"<L><C><Key>plain</Key></C><C><Key>" + written + b"</Key></C><C><Key>last</Key></C></L>"
    root = parse_xml(body)
    assert root is not None
    assert [text(item, "Key") for item in root] == ["plain", key, "last"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<html>",
        b"no xml",
        DECLARATION,
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        DECLARATION + b"\n<!doctype html><html></html>",
        b"<!-- x --><!DOCTYPE a><a/>",
        b"<?xml",
    ],
)
def test_what_is_not_xml_or_could_expand_is_no_answer(body: bytes) -> None:
    assert parse_xml(body) is None


@given(st.binary(max_size=200))
def test_no_answer_breaks_the_reader(body: bytes) -> None:
    for whole in (body, b"<a><b>" + body + b"</b></a>", DECLARATION + body):
        root = parse_xml(whole)
        assert root is None or isinstance(tag(root), str)


@given(st.text(st.characters(exclude_categories=["Cs", "Co"], exclude_characters="\r\ufffe\uffff"), max_size=40))
def test_every_key_that_an_escaping_server_lists_comes_back(key: str) -> None:
    escaped = key.replace("&", "&amp;").replace("<", "&lt;").replace("]]>", "]]&gt;")
    root = parse_xml(f"<a><Key>{escaped}</Key></a>".encode())
    assert root is not None
    assert text(root, "Key") == key
