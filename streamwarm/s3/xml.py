"""Reads the XML that S3 answers with. Pure.

It goes through the standard library's ElementTree. That is acceptable here because callers cut a page off before it is
parsed, a document type is refused before the parser sees it (so there are no entities to expand), and ElementTree
fetches nothing.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree


def parse_xml(body: bytes) -> ElementTree.Element | None:
    """The root element, or None for what is not XML or has a document type."""
    decoded = body.decode("utf-8", "replace")
    if "<!DOCTYPE" in decoded.upper():
        return None
    try:
        return ElementTree.fromstring(decoded)  # noqa: S314 - bounded and without a document type, see the module's head
    except (ElementTree.ParseError, ValueError):
        return None


def tag(element: ElementTree.Element) -> str:
    """The tag without its namespace: S3 sends one, some servers none."""
    return element.tag.rpartition("}")[2]


def text(parent: ElementTree.Element, name: str) -> str:
    """The text of the first child of that name; empty if there is none."""
    for child in parent:
        if tag(child) == name:
            return child.text or ""
    return ""


def read_error(body: bytes) -> tuple[str, str]:
    """S3's code and, in brackets, its message: printable, short, both empty where the body is no S3 error."""
    root = parse_xml(body)
    if root is None or tag(root) != "Error":
        return "", ""
    code = re.sub(r"[^A-Za-z0-9.]", "", text(root, "Code"))[:64]
    message = "".join(c for c in text(root, "Message") if c.isprintable())[:200]
    return code, f" ({message})" if message else ""
