"""Reads the XML of S3's answers. Pure.

It uses the standard library's ElementTree. That is safe here for three reasons: callers limit the size of a page before
it is parsed, a document type is refused before the parser sees it (so there are no entities to expand), and ElementTree
fetches nothing.

What servers send is not always XML. S3 sends blank lines before the declaration to keep a connection open while it
completes an upload, and a proxy may add a byte order mark or a second declaration. Servers that ignore
`encoding-type=url` list keys with control characters or a bare ampersand, which XML cannot have. All of these are
read as what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

from streamwarm.redact import knows_no_secrets, quote

_LONE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));")
_STAND_INS = 0xF0000
"""A character that XML cannot have is parsed as the one that follows this by its number. Plane 15 is for private use:
a key that has one of these itself would be misread, and no such key is known."""

_STOOD_IN = re.compile(f"[{chr(_STAND_INS)}-{chr(_STAND_INS + 0x1F)}]")


def parse_xml(body: bytes) -> ElementTree.Element | None:
    """Return the root element, or None if the body is not XML or has a document type."""
    decoded = body.decode("utf-8-sig", "replace")
    document = decoded[_start_of_root(decoded) :]
    if document[:9].upper() == "<!DOCTYPE":
        return None
    document = _LONE_AMPERSAND.sub("&amp;", document)
    document = _REFERENCE.sub(_reference, _NOT_XML.sub(_stand_in, document))
    try:
        return ElementTree.fromstring(document)  # noqa: S314 - bounded and without a document type, see the module's head
    except (ElementTree.ParseError, ValueError):
        return None


def _start_of_root(document: str) -> int:
    """Where the root element begins: behind white space, declarations and comments, in any number and order."""
    at = 0
    while True:
        while document[at : at + 1].isspace() or document[at : at + 1] == "\ufeff":
            at += 1
        closing = "?>" if document.startswith("<?", at) else "-->" if document.startswith("<!--", at) else ""
        end = document.find(closing, at) if closing else -1
        if end < 0:
            return at
        at = end + len(closing)


def _stand_in(match: re.Match[str]) -> str:
    number = ord(match[0])
    return chr(_STAND_INS + number) if number < 0x20 else "\ufffd"


def _reference(match: re.Match[str]) -> str:
    """A reference to a character that XML can have stays as it is."""
    number = int(match[1], 16) if match[1] else int(match[2])
    if number < 0x20 and number not in {0x9, 0xA, 0xD}:
        return chr(_STAND_INS + number)
    return match[0] if _is_character(number) else "\ufffd"


def _is_character(number: int) -> bool:
    return number < 0x110000 and not 0xD800 <= number <= 0xDFFF and number not in {0xFFFE, 0xFFFF}


def tag(element: ElementTree.Element) -> str:
    """Return the tag without its namespace, which S3 sends and some servers do not."""
    return element.tag.rpartition("}")[2]


def text(parent: ElementTree.Element, name: str) -> str:
    """Return the text of the first child with that name, or an empty text."""
    for child in parent:
        if tag(child) == name:
            return _STOOD_IN.sub(lambda match: chr(ord(match[0]) - _STAND_INS), child.text or "")
    return ""


def read_error(body: bytes, redact: Callable[[str], str] = knows_no_secrets) -> tuple[str, str]:
    """Return S3's code and, in brackets, its message: printable and short, or empty if the body is not an S3 error.

    `redact` masks the secrets in them."""
    root = parse_xml(body)
    if root is None or tag(root) != "Error":
        return "", ""
    code = re.sub(r"[^A-Za-z0-9.]", "", quote(text(root, "Code"), redact))
    code = re.sub(r"[^A-Za-z0-9.]", "", redact(code))[:64]
    message = quote(text(root, "Message"), redact)
    return code, f" ({message})" if message else ""
