"""Undoes the codings in which a peer may quote a text, and keeps for each byte where it came from. Pure.

A layer is a text at one stage of decoding. Each `Decode` undoes one coding everywhere in a layer and returns the next
layer, or None if there was nothing to undo. All work on bytes, so that a secret that is not ASCII is found too: what is
written as a character (`\\u00e9`, `&eacute;`) becomes its UTF-8 bytes.
"""

from __future__ import annotations

import html
import re
from binascii import a2b_base64
from collections.abc import Callable, Iterator

from attrs import frozen

Replaced = Callable[[re.Match[bytes]], bytes]


@frozen
class Layer:
    """A text at one stage of decoding. Byte `i` came from the source's bytes `starts[i]` to `ends[i]`.

    Both lists are empty in a layer that does not keep that (`bare`), which is made in a tenth of the time.
    """

    data: bytes
    starts: list[int]
    ends: list[int]

    @classmethod
    def bare(cls, data: bytes) -> Layer:
        return cls(data, [], [])

    @classmethod
    def source(cls, data: bytes) -> Layer:
        return cls(data, list(range(len(data))), list(range(1, len(data) + 1)))


Decode = Callable[[Layer], Layer | None]

_PERCENT = re.compile(rb"%(?:25)*(?:([0-9A-Fa-f]{2})|[uU]([0-9A-Fa-f]{4}))")
"""With the `25`s of a text that was encoded many times, all of which are undone at once. And `%u002B`, as JavaScript's
`escape` writes it."""

_UNIT = rb"\\+u(?:\{0*([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{4}))"
_ESCAPE = re.compile(
    rb"\\+u([Dd][89ABab][0-9A-Fa-f]{2})\\+u([Dd][C-Fc-f][0-9A-Fa-f]{2})"
    rb"|" + _UNIT + rb"|\\+U(0[0-9A-Fa-f]{7})|\\+x([0-9A-Fa-f]{2})"
    rb"|\\+([0-3][0-7]{2}|[0-7]{1,2}+(?!\Z))|\\+([^\\uxU0-7])"
)
"""JSON's, JavaScript's and Python's. With any number of backslashes, as of a text that was quoted many times. What ends
the text may be the beginning of a longer number."""

_LONE_UNIT = re.compile(rb"\\u([0-9A-Fa-f]{4})")
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

_REFERENCE = re.compile(
    rb"&(?:(?:amp|#0*38|#[xX]0*26);)*"
    rb"(?:#(?:0*+[0-9]{1,7}+|[xX]0*+[0-9A-Fa-f]{1,6}+)(?:;|(?!\Z))|[A-Za-z][A-Za-z0-9]{1,31};|(?:amp|lt|gt|quot))"
)
"""With any number of leading zeros. What ends the text without a semicolon may be the beginning of a longer number."""

ESCAPED = re.compile(rb"%[uU]?[0-9A-Fa-f]{2}|\\.|&(?:#|[A-Za-z]+;|amp|lt|gt|quot)", re.DOTALL)
"""Whether there is anything to undo."""

_QUAD = rb"[I-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
LIKE_BASE64 = re.compile(rb"(?:" + _QUAD + rb"){3}")
"""Three groups of four that are base64 of printable ASCII: the high bits of such bytes are few. One path or id in five
hundred looks like that by chance."""

_OUTSIDE = bytes(set(range(256)) - set(b"+/-_") - {byte for byte in range(128) if chr(byte).isalnum()})
_PARTED = bytes.maketrans(_OUTSIDE, b" " * len(_OUTSIDE))
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_NOT_ASCII_TEXT = re.compile(rb"[^ -~]+")
_SHORT_TEXT = re.compile(rb"(?<![^\n])[ -~]{1,8}(?![^\n])")


def percent(layer: Layer) -> Layer | None:
    """Undo percent-encoding, in upper and lower case, however often it was applied."""
    return _rewrite(layer, _PERCENT, _from_percent) if b"%" in layer.data else None


def escapes(layer: Layer) -> Layer | None:
    """Undo escapes with a backslash: `\\/`, `\\u002B`, `\\x2b`."""
    return _rewrite(layer, _ESCAPE, _unescaped) if b"\\" in layer.data else None


def units(layer: Layer) -> Layer | None:
    """Undo `\\u002B` alone, even if its backslash is escaped itself."""
    return _rewrite(layer, _LONE_UNIT, lambda match: _character(int(match[1], 16))) if b"\\u" in layer.data else None


def references(layer: Layer) -> Layer | None:
    """Undo HTML's character references: `&#43;`, `&#x2b;`, `&plus;`."""
    return _rewrite(layer, _REFERENCE, _referred) if b"&" in layer.data else None


def everything(layer: Layer) -> Layer | None:
    """Undo those three, one after the other."""
    found = None
    for decode in (percent, escapes, references):
        found = decode(found or layer) or found
    return found


def may_have_base64(data: bytes) -> bool:
    """Whether there may be base64 of a text with escapes in it. What has no upper-case letter is none."""
    runs = data.translate(_PARTED).split()
    return any(len(run) >= 12 and not run.islower() and LIKE_BASE64.search(run) for run in runs)


def base64(layer: Layer) -> Iterator[Layer]:
    """The texts that base64 in a layer may mean, standard or urlsafe: one layer for each of the four alignments."""
    if not may_have_base64(layer.data):
        return
    runs = [match.span() for match in _RUN.finditer(layer.data) if LIKE_BASE64.search(layer.data, *match.span())]
    for shift in range(4):
        data, starts, ends = bytearray(), list[int](), list[int]()
        for start, end in runs:
            first = start + shift
            count = (end - first) // 4
            data += a2b_base64(layer.data[first : first + 4 * count].translate(_STANDARD)) + b"\n"
            if layer.starts:
                for quad in range(first, first + 4 * count, 4):
                    starts += [layer.starts[quad]] * 3
                    ends += [layer.ends[quad + 3]] * 3
                starts.append(layer.ends[end - 1])
                ends.append(layer.ends[end - 1])
        # What is binary, or what a wrong alignment makes of a text, has no secret that is not found otherwise.
        plain = _SHORT_TEXT.sub(_blank, _NOT_ASCII_TEXT.sub(_blank, data))
        if plain.strip():
            yield Layer(plain, starts, ends)


def _rewrite(layer: Layer, pattern: re.Pattern[bytes], replaced: Replaced) -> Layer | None:
    """Replace each match. Every byte of a replacement came from all that it replaces."""
    if not layer.starts:
        bare, count = pattern.subn(replaced, layer.data)
        return Layer.bare(bare) if count else None
    data, starts, ends = bytearray(), list[int](), list[int]()
    at = 0
    for match in pattern.finditer(layer.data):
        begin, end = match.span()
        new = replaced(match)
        data += layer.data[at:begin] + new
        starts += layer.starts[at:begin] + [layer.starts[begin]] * len(new)
        ends += layer.ends[at:begin] + [layer.ends[end - 1]] * len(new)
        at = end
    if not at:
        return None
    data += layer.data[at:]
    return Layer(bytes(data), starts + layer.starts[at:], ends + layer.ends[at:])


def _blank(match: re.Match[bytes]) -> bytes:
    return b"\n" * len(match[0])


def _from_percent(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),)) if match[1] else _character(int(match[2], 16))


def _unescaped(match: re.Match[bytes]) -> bytes:
    high, low, braced, unit, wide, byte, octal, letter = match.groups()
    if high:
        return _character(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    if point := braced or unit or wide:
        return _character(int(point, 16))
    if octal:
        return bytes((int(octal, 8),))
    return bytes((int(byte, 16),)) if byte else _LETTERS.get(letter, letter)


def _referred(match: re.Match[bytes]) -> bytes:
    name = match[0].rpartition(b"&")[2] if match[0].count(b"&") > 1 else match[0][1:]
    for escaped in (b"amp;", b"#38;", b"#x26;", b"#X26;"):
        while name.startswith(escaped) and name != escaped:
            name = name.removeprefix(escaped)
    return html.unescape(f"&{name.decode('ascii')}").encode("utf-8", "surrogatepass")


def _character(number: int) -> bytes:
    return chr(min(number, 0x10FFFF)).encode("utf-8", "surrogatepass")
