"""Reads the XML of S3's answers. Pure.

It uses the standard library's ElementTree. That is safe here for three reasons: callers limit the size of a page before
it is parsed, a document type is refused before the parser sees it (so there are no entities to expand), and ElementTree
fetches nothing.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree


def parse_xml(body: bytes) -> ElementTree.Element | None:
    """Return the root element, or None if the body is not XML or has a document type."""
    decoded = body.decode("utf-8", "replace")
    if "<!DOCTYPE" in decoded.upper():
        return None
    try:
        return ElementTree.fromstring(decoded)  # noqa: S314 - bounded and without a document type, see the module's head
    except (ElementTree.ParseError, ValueError):
        return None


def tag(element: ElementTree.Element) -> str:
    """Return the tag without its namespace, which S3 sends and some servers do not."""
    return element.tag.rpartition("}")[2]


def text(parent: ElementTree.Element, name: str) -> str:
    """Return the text of the first child with that name, or an empty text."""
    for child in parent:
        if tag(child) == name:
            return child.text or ""
    return ""


def read_error(body: bytes) -> tuple[str, str]:
    """Return S3's code and, in brackets, its message: printable and short, or empty if the body is not an S3 error."""
    root = parse_xml(body)
    if root is None or tag(root) != "Error":
        return "", ""
    code = re.sub(r"[^A-Za-z0-9.]", "", text(root, "Code"))[:64]
    message = "".join(c for c in text(root, "Message") if c.isprintable())[:200]
    return code, f" ({message})" if message else ""
