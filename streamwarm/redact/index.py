"""Finds secrets and parts of them in bytes, without regard to the case of ASCII letters. Pure.

Theory. A part of `PART` characters of a secret is masked, so all such parts are in a set. Looking each position of a
text up in it would cost more than the log may. So `GRAM` characters are looked up at every few positions first: a part
spans at least one of those places. An ordinary text has none, and that is the end of it.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress

from attrs import define, field

from streamwarm.redact.codings import Layer, escapes, everything, percent, references

SHORTEST = 6
"""The length in characters from which a secret is masked. Shorter ones would mask ordinary words, and protect
nothing."""

PART = 12
"""The length in characters from which a part of a secret is masked. Sixty-two letters and digits leave less than one
chance in 10^21 that an ordinary text has such a part."""

BEGINNING = 4
"""The length in characters from which the end of a line is masked if a secret begins so: the line may have been cut.
Digits alone do not count. They end many lines, and a token's are the bot's id, which is public."""

GRAM = 5

_CUT_TOKEN = re.compile(
    rb"(?:%(?:[0-9A-Fa-f]?|[uU][0-9A-Fa-f]{0,3})|\\+(?:[uU][0-9A-Fa-f]{0,7}|x[0-9A-Fa-f]?|[0-7]{0,3})?"
    rb"|&(?:[A-Za-z0-9]{0,8}|#[xX]?[0-9A-Fa-f]*))$",
    re.MULTILINE,
)
"""The beginning of an escape at the end of a line."""

Span = tuple[int, int]


@define(eq=False)
class Index:
    """The secrets, in all forms that are searched for, ready to be found."""

    _parts: dict[int, set[bytes]] = field(factory=dict, init=False)
    """By length: the parts of `PART` bytes, and shorter forms whole."""

    _grams: set[bytes] = field(factory=set, init=False)
    _beginnings: set[bytes] = field(factory=set, init=False)
    _ends_of_beginnings: set[bytes] = field(factory=set, init=False)
    _step: int = field(default=1, init=False)
    _samples: re.Pattern[bytes] = field(default=re.compile(b""), init=False)

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Index:
        made = cls()
        for secret in {secret for secret in secrets if len(secret) >= SHORTEST}:
            for form in _forms(secret):
                made._add(form.lower())
        made._step = min(made._parts, default=PART) - GRAM + 1
        made._samples = (
            re.compile(rb"(?s)(.{%d}).{0,%d}" % (GRAM, made._step - GRAM))
            if made._step >= GRAM
            else (re.compile(rb"(?s)(?=(.{%d})).{1,%d}" % (GRAM, made._step)))
        )
        return made

    def _add(self, form: bytes) -> None:
        length = min(PART, len(form))
        parts = {form[at : at + length] for at in range(len(form) - length + 1)}
        self._parts.setdefault(length, set()).update(parts)
        self._grams.update(form[at : at + GRAM] for at in range(len(form) - GRAM + 1))
        for end in range(BEGINNING, length):
            if form[:end].isdigit():
                continue
            self._beginnings.add(form[:end])
            self._ends_of_beginnings.add(form[end - BEGINNING : end])

    def may_have(self, low: bytes) -> bool:
        """Whether a closer look is needed. `low` is a layer's data in lower case."""
        return not self._grams.isdisjoint(self._samples.findall(low))

    def may_end(self, low: bytes) -> bool:
        """Whether a line of it may end with the beginning of a secret."""
        lines = low.split(b"\n")
        if not self._ends_of_beginnings.isdisjoint([line[-BEGINNING:] for line in lines]):
            return True
        if b"%" not in low and b"\\" not in low and b"&" not in low:
            return False
        cut = [low[max(0, match.start() - BEGINNING) : match.start()] for match in _CUT_TOKEN.finditer(low)]
        return not self._ends_of_beginnings.isdisjoint(cut)

    def find(self, low: bytes) -> Iterator[Span]:
        """Every part of a secret, as spans that may overlap."""
        if not self.may_have(low):
            return
        grams, reach = self._grams, max(self._parts) - GRAM
        looked = 0
        for place in range(0, len(low), self._step):
            if low[place : place + GRAM] in grams:
                for at in range(max(looked, place - reach), place + 1):
                    for length, parts in self._parts.items():
                        if low[at : at + length] in parts:
                            yield at, at + length
                looked = place + 1

    def find_ends(self, data: bytes, low: bytes) -> Iterator[Span]:
        """The ends of lines that may be the beginning of a secret."""
        end = -1
        for line in low.split(b"\n"):
            begin, end = end + 1, end + 1 + len(line)
            cut = _CUT_TOKEN.search(data, max(begin, end - 64), end)
            for stop in {end, cut.start() if cut else end}:
                longest = min(PART - 1, stop - begin)
                found = [n for n in range(BEGINNING, longest + 1) if low[stop - n : stop] in self._beginnings]
                if found:
                    yield stop - max(found), end


def _forms(secret: str) -> Iterator[bytes]:
    """The secret, and what decoding a text leaves of it if it has escapes itself; each also in base64 and hex."""
    encoded = secret.encode("utf-8", "surrogatepass")
    written = {encoded}
    if not secret.isascii():
        written.add(encoded.decode("latin-1").encode())  # bytes of a header are read as Latin-1
        with suppress(UnicodeEncodeError):
            written.add(secret.encode("latin-1"))
    written |= {form.replace(b" ", b"+") for form in written}
    for form in list(written):
        for decode in (percent, escapes, references, everything):
            layer: Layer | None = Layer.source(form)
            while layer and (layer := decode(layer)) and layer.data not in written:
                written.add(layer.data)
    for form in written:
        if len(form) >= SHORTEST:
            yield form
            yield form.hex().encode()
            yield from _in_base64(form)


def _in_base64(form: bytes) -> Iterator[bytes]:
    """What of it stands in base64 whatever surrounds it, for each of the three places in a group where it may begin."""
    for before in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            written = encode(bytes(before) + form)
            yield written[-(-before * 8 // 6) : (before + len(form)) * 8 // 6]
