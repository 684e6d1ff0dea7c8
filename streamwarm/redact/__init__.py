"""Masks secrets in every text that comes from outside or leaves. Pure.

Everything that is quoted passes `Redactor`, whole; what is shown is cut afterwards (`quote`), so that no cut hides a
secret from it.

- **The service's own secrets** are known. They are found raw and in any mix of percent-encoding, JSON and HTML escapes,
  base64 and hex, in any case of letters. A part of `PART` characters is enough.
- **What was made of them for one request**, such as its signature, is known to the sender (`Redactor.also`).
- **Secrets of others** (other bots' tokens, presigned URLs, credentials in a header) are known by their form.

A text that is still encoded after `MOST_LAYERS` decodings is masked as a whole: no reader would decode it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import define, field

from streamwarm.redact.codings import (
    ESCAPED,
    Layer,
    base64,
    escapes,
    everything,
    may_have_base64,
    percent,
    references,
    units,
)
from streamwarm.redact.index import PART, SHORTEST, Index, Span

__all__ = ["MASK", "PART", "SHORTEST", "Redactor", "knows_no_secrets", "make_redactor", "quote", "redact_value"]

MASK = "***"

MOST_LAYERS = 48
"""How many decodings of one text are searched. A text in all four codings at once has about thirty; the bound is for
those that are made to cost time."""

QUOTED_CHARS = 200
"""How many characters of a peer's own words a message has."""

READ_CHARS = 8192
"""How much of a peer's words is searched. Decoding a longer text would hold the event loop up, and what is shown comes
from its beginning."""

_FORMS = re.compile(
    rb"(?:\bbot)?(?P<token>[0-9]{6,12}:[a-z0-9_-]{30,})"
    rb"|\bx-amz-(?:signature|credential|security-token)[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?P<query>[^&\s\"'<>,;]+)"
    rb"|\b(?:aws)?(?:signature|credential)=(?P<header>[^&\s\"'<>,;]+)"
    rb"|\bbearer\s{1,3}(?P<bearer>[a-z0-9._~+/=-]{6,})"
    rb"|\b[a-z][a-z0-9+.-]{1,15}://(?!user:password@)(?P<login>[^\s/?#@\"'<>:]{0,256}:[^\s\"'<>]{0,512})@"
)
_WORDS_OF_FORMS = (b"signature", b"credential", b"security-token", b"bearer")
_TOKEN_OR_LOGIN = re.compile(rb":(?:(?<=[0-9]{6}:)[a-z0-9_-]{30}|//[^\s/?#]*:[^\s]*@)")


@define(eq=False)
class Redactor:
    """A function that masks every secret in a text. `also` makes one that masks some more."""

    _indexes: tuple[Index, ...] = field(alias="indexes")

    def __call__(self, text: str) -> str:
        """Return the text with each secret, or part of one, replaced by `MASK`."""
        data = text.encode("utf-8", "surrogatepass")
        low = data.lower()
        if not self._may_match(data, low, ends=True):
            return text
        spans, is_whole = self._spans(data, ends=True)
        return _masked(data, spans) if is_whole else MASK

    def carries(self, text: str, *also: str) -> bool:
        """Whether a secret, or part of one, is in a text that is known to be whole. What carries one is not kept.

        `also`: secrets in lower-case hex that are known of one request alone.
        """
        data = text.encode("utf-8", "surrogatepass")
        low = data.lower()
        if also:
            if ESCAPED.search(data) or may_have_base64(data):
                return self.also(*also).carries(text)
            if any(low[at : at + PART] in one.encode() for one in also for at in range(len(low) - PART + 1)):
                return True
        if not self._may_match(data, low, ends=False):
            return False
        spans, is_whole = self._spans(data, ends=False)
        return bool(spans) or not is_whole

    def also(self, *secrets: str) -> Redactor:
        """A redactor that masks these too, for what is known of one request alone."""
        return Redactor((*self._indexes, Index.of(secrets)))

    def _may_match(self, data: bytes, low: bytes, *, ends: bool) -> bool:
        """Whether there may be anything to mask, or too much to decode. It costs less than finding out where."""
        if self._layer_may_match(low, ends=ends):
            return True
        coded = data if may_have_base64(data) else _lines_with_escapes(data)
        if not coded:
            return False
        for number, layer in enumerate(_layers(Layer.bare(coded))):
            if number == MOST_LAYERS or (number and self._layer_may_match(layer.data.lower(), ends=ends)):
                return True
        return False

    def _layer_may_match(self, low: bytes, *, ends: bool) -> bool:
        return (
            any(index.may_have(low) or (ends and index.may_end(low)) for index in self._indexes)
            or any(word in low for word in _WORDS_OF_FORMS)
            or _TOKEN_OR_LOGIN.search(low) is not None
        )

    def _spans(self, data: bytes, *, ends: bool) -> tuple[list[Span], bool]:
        """What is to be masked, in all layers of decoding; False if there are too many of them."""
        spans: list[Span] = []
        for number, layer in enumerate(_layers(Layer.source(data))):
            if number == MOST_LAYERS:
                return spans, False
            low = layer.data.lower()
            for begin, end in self._in_layer(layer.data, low, ends=ends):
                spans.append((min(layer.starts[begin:end]), max(layer.ends[begin:end])))
        return spans, True

    def _in_layer(self, data: bytes, low: bytes, *, ends: bool) -> Iterator[Span]:
        for index in self._indexes:
            yield from index.find(low)
            if ends and index.may_end(low):
                yield from index.find_ends(data, low)
        for match in _FORMS.finditer(low):
            yield match.span(match.lastgroup or 0)


def make_redactor(secrets: Iterable[str]) -> Redactor:
    """A redactor that knows these secrets. Those under `SHORTEST` characters are left out."""
    return Redactor((Index.of(secrets),))


knows_no_secrets = make_redactor(())
"""Masks only what is known by its form."""


def quote(text: str, redact: Callable[[str], str], most: int = QUOTED_CHARS) -> str:
    """A peer's words as a message may have them: redacted, then on one line, then cut to `most` characters.

    What is not printable becomes a space. If a secret shows once those characters are left out, all of it is masked.
    """
    text = text[:READ_CHARS]
    shown = " ".join("".join(c if c.isprintable() else " " for c in redact(text)).split())
    bare = "".join(c for c in text if c.isprintable())
    if len(bare) != len(text) and redact(bare) != bare:
        shown = MASK
    return redact(shown)[:most]


def redact_value(redact: Callable[[str], str], value: Any) -> Any:
    """The value with every text in it redacted. Containers are rebuilt; values of other types are returned as they
    are."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_value(redact, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(redact, item) for item in value]
    return value


def _lines_with_escapes(data: bytes) -> bytes:
    """The lines that have escapes. No secret spans lines, so the others need no decoding."""
    lines, at = [], 0
    while found := ESCAPED.search(data, at):
        begin, end = data.rfind(b"\n", 0, found.start()) + 1, data.find(b"\n", found.end())
        at = end if end >= 0 else len(data)
        lines.append(data[begin:at])
    return b"\n".join(lines)


def _layers(source: Layer) -> Iterator[Layer]:
    """The text, and what is found in it by decoding it, again and again, in every order."""
    waiting, seen = [source], {source.data}
    while waiting:
        layer = waiting.pop(0)
        yield layer
        decoded = [decode(layer) for decode in (everything, percent, escapes, references, units)]
        for found in (*decoded, *base64(layer)):
            if found is not None and found.data not in seen:
                seen.add(found.data)
                waiting.append(found)


def _masked(data: bytes, spans: list[Span]) -> str:
    """The text with `MASK` for what the spans cover. A span grows to whole characters; neighbours are joined."""
    shown, at = bytearray(), 0
    joined: list[list[int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([begin, end])
    for span in joined:
        while span[0] > at and data[span[0]] & 0xC0 == 0x80:
            span[0] -= 1
        while span[1] < len(data) and data[span[1]] & 0xC0 == 0x80:
            span[1] += 1
    for begin, end in joined:
        shown += data[at:begin] + MASK.encode()
        at = end
    return (shown + data[at:]).decode("utf-8", "surrogatepass")
