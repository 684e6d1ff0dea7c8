"""R2 as a pure core: versions of objects with their ETags, ranges under `If-Match`, listings, keys, and its faults."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from attrs import define, field

from tests.simulation.faults import Faults
from tests.simulation.plan import FaultKind, Sort
from tests.simulation.serving import FINE, Answer, Mishap, Request
from tests.simulation.world import EPOCH

MOST_SKEW_S = 900.0
"""How far a request's date may be off (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""

FIRST_BYTE = "bytes=0-0"
"""The range of a question for the version, where HEAD is refused."""


@define(eq=False)
class R2:
    """`versions` has each object's contents in order; the first is there at the start. `now` is Unix seconds.

    `breaches` are requests that a client must never send. `history` has for each key, in order, since when (virtual
    seconds) the bucket had which content under it; None: no object.
    """

    bucket: str
    access_key_id: str
    versions: Mapping[str, Sequence[bytes]]
    unsized: frozenset[str]
    _now: Callable[[], float]
    _faults: Faults
    is_down: bool = False
    is_rotated: bool = False
    breaches: list[str] = field(factory=list)
    history: dict[str, list[tuple[float, bytes | None]]] = field(init=False)
    _current: dict[str, int] = field(factory=dict)
    _deleted: set[str] = field(factory=set)
    _pairs: set[str] = field(factory=set)

    @history.default
    def _first_versions(self) -> dict[str, list[tuple[float, bytes | None]]]:
        return {key: [(0.0, contents[0])] for key, contents in self.versions.items()}

    def content(self, key: str) -> bytes | None:
        return None if key in self._deleted else self.versions[key][self._current.get(key, 0)]

    def replace(self, key: str) -> None:
        """Put the next version, if there is one left."""
        self._put(key, min(self._current.get(key, 0) + 1, len(self.versions[key]) - 1))

    def revert(self, key: str) -> None:
        """Put the first version."""
        self._put(key, 0)

    def restore(self, key: str) -> None:
        """Put what was deleted, as it was."""
        self._put(key, self._current.get(key, 0))

    def delete(self, key: str) -> None:
        self._deleted.add(key)
        self._note(key)

    def _put(self, key: str, index: int) -> None:
        self._current[key] = index
        self._deleted.discard(key)
        self._note(key)

    def _note(self, key: str) -> None:
        if self.history[key][-1][1] != self.content(key):
            self.history[key].append((self._now() - EPOCH, self.content(key)))

    def mishap(self, request: Request) -> Mishap:
        key = self._key(request)
        if key not in self.versions:
            return FINE
        if request.method == "HEAD" or request.headers.get("range") == FIRST_BYTE:
            return self._mishap_of_a_version(request)
        if request.method != "GET":
            return FINE
        if key in self.unsized and not self._is_asked_again(key):
            return FINE
        fault = self._faults.take(Sort.R2)
        if fault is None:
            return FINE
        match fault.kind:
            case FaultKind.R2_SLOW:
                return Mishap(late_s=fault.amount)
            case FaultKind.R2_CUT:
                return Mishap(answer_cut=fault.amount)
            case FaultKind.R2_STALL:
                return Mishap(answer_stall_s=fault.amount)
            case FaultKind.R2_LOST:
                return Mishap(answer_cut=0.0)
            case FaultKind.REPLACED_MIDWAY:
                answer = self.answer(request, b"")
                self.replace(key)
                return Mishap(answer=lambda _: answer, answer_cut=0.5)
            case _:
                return Mishap(answer=lambda _: _page(fault.of, request))

    def _mishap_of_a_version(self, request: Request) -> Mishap:
        fault = self._faults.take(Sort.VERSION)
        match None if fault is None else fault.kind:
            case FaultKind.HEAD_SLOW if fault is not None:
                return Mishap(late_s=fault.amount)
            case FaultKind.HEAD_LOST:
                return Mishap(answer_cut=0.0)
            case FaultKind.HEAD_STATUS if fault is not None:
                return Mishap(answer=lambda _: _page(fault.of, request))
        return FINE

    def _is_asked_again(self, key: str) -> bool:
        """Whether this is the second of a pair: of an object without a length, the first answer's body is not read."""
        self._pairs ^= {key}
        return key not in self._pairs

    def answer(self, request: Request, body: bytes) -> Answer:
        del body
        if self.is_down:
            return _error(503, "ServiceUnavailable")
        if (refused := self._refused(request)) is not None:
            return refused
        key = self._key(request)
        if "list-type" in request.query:
            return Answer(200, [("Content-Type", "application/xml")], self._listing(request))
        content = self.content(key) if key in self.versions else None
        if content is None:
            return _error(404, "NoSuchKey")
        return self._give(request, key, content)

    def _refused(self, request: Request) -> Answer | None:
        signed = request.headers.get("authorization", "")
        if self.is_rotated or f"Credential={self.access_key_id}/" not in signed:
            return _error(403, "InvalidAccessKeyId")
        date = request.headers.get("x-amz-date", "")
        at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        return _error(403, "RequestTimeTooSkewed") if abs(at - self._now()) > MOST_SKEW_S else None

    def _give(self, request: Request, key: str, content: bytes) -> Answer:
        etag = etag_of(content)
        headers = [("ETag", etag), ("Content-Type", "application/octet-stream")]
        is_unsized = key in self.unsized
        if "range" not in request.headers:
            return Answer(200, headers, content, len(content), is_unsized)
        if request.headers["range"] == FIRST_BYTE:
            headers.append(("Content-Range", f"bytes 0-0/{len(content)}"))
            return Answer(206, headers, content[:1])
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers["range"])
        if asked is None or "if-match" not in request.headers:
            self.breaches.append(f"a range without If-Match, or not from a byte on: {request}")
        elif request.headers["if-match"] != etag:
            return _error(412, "PreconditionFailed")
        start = int(asked[1]) if asked is not None else 0
        headers.append(("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"))
        return Answer(206, headers, content[start:], is_unsized=is_unsized)

    def _listing(self, request: Request) -> bytes:
        most, prefix = int(request.query.get("max-keys", ["1000"])[0]), request.query.get("prefix", [""])[0]
        found = ((key, self.content(key)) for key in sorted(self.versions) if key.startswith(prefix))
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>{etag_of(content)}</ETag></Contents>"
            for key, content in [one for one in found if one[1] is not None][:most]
            if content is not None
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()

    def _key(self, request: Request) -> str:
        return request.path.removeprefix(f"/{self.bucket}").removeprefix("/")


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _page(status: int, request: Request) -> Answer:
    """What a proxy may answer: a page that quotes the request."""
    page = f"<html>{status}: {escape(repr(request))}</html>".encode()
    return Answer(status, [("Content-Type", "text/html")], page)


def _error(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    return Answer(status, [("Content-Type", "application/xml")], body)
