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

MOST_SKEW_S = 900.0
"""How far a request's date may be off (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""


@define(eq=False)
class R2:
    """`versions` has each object's contents in order; the first is there at the start. `now` is Unix seconds.

    `breaches` are requests that a client must never send.
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
    replaced: set[str] = field(factory=set)
    _current: dict[str, int] = field(factory=dict)
    _pairs: set[str] = field(factory=set)

    def content(self, key: str) -> bytes:
        return self.versions[key][self._current.get(key, 0)]

    def replace(self, key: str) -> None:
        """Put the next version, if there is one left."""
        index = self._current.get(key, 0) + 1
        if index < len(self.versions[key]):
            self._current[key] = index
            self.replaced.add(key)

    def mishap(self, request: Request) -> Mishap:
        key = self._key(request)
        if request.method != "GET" or key not in self.versions:
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
                page = f"<html>{fault.of}: {escape(repr(request))}</html>".encode()
                return Mishap(answer=lambda _: Answer(fault.of, [("Content-Type", "text/html")], page))

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
        if key not in self.versions:
            return _error(404, "NoSuchKey")
        return self._give(request, key)

    def _refused(self, request: Request) -> Answer | None:
        signed = request.headers.get("authorization", "")
        if self.is_rotated or f"Credential={self.access_key_id}/" not in signed:
            return _error(403, "InvalidAccessKeyId")
        date = request.headers.get("x-amz-date", "")
        at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        return _error(403, "RequestTimeTooSkewed") if abs(at - self._now()) > MOST_SKEW_S else None

    def _give(self, request: Request, key: str) -> Answer:
        content = self.content(key)
        etag = etag_of(content)
        headers = [("ETag", etag), ("Content-Type", "application/octet-stream")]
        is_unsized = key in self.unsized
        if "range" not in request.headers:
            return Answer(200, headers, content, len(content), is_unsized)
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers["range"])
        if asked is None or "if-match" not in request.headers:
            self.breaches.append(f"a range without If-Match, or not from a byte on: {request}")
        elif request.headers["if-match"] != etag:
            return _error(412, "PreconditionFailed")
        start = int(asked[1]) if asked is not None else 0
        headers.append(("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"))
        return Answer(206, headers, content[start:], is_unsized=is_unsized)

    def _listing(self, request: Request) -> bytes:
        most = int(request.query.get("max-keys", ["1000"])[0])
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.content(key))}</Size></Contents>"
            for key in sorted(self.versions)[:most]
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()

    def _key(self, request: Request) -> str:
        return request.path.removeprefix(f"/{self.bucket}").removeprefix("/")


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _error(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    return Answer(status, [("Content-Type", "application/xml")], body)
