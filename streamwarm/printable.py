"""Makes text from outside safe to show on a terminal. Pure."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """The text with every character escaped that is not printable: control characters (C0, DEL, C1), line separators,
    lone surrogates, and what is invisible or changes the direction of writing."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines that is our own, such as a usage message: line breaks and tabs stay."""
    return "".join(c if c in "\n\t" else printable(c) for c in text)


def printable_json(text: str) -> str:
    """JSON with those characters as JSON's own escapes. It means the same."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else _in_json(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) != 0x7F else "\\u007f"
