"""A bucket that serves as source and destination and misbehaves at one step alone."""

from __future__ import annotations

import socket
import struct
from enum import StrEnum, auto

import h11
import trio
from attrs import define

from tests.worlds.http_sink import Connection
from tests.worlds.scripted_bucket import head
from tests.worlds.stream import content

BODY = content(1500)
ETAG = '"9a0364b9e99bb480dd25e1f0284c8555"'
KEY = "media/a.mp4"


class Step(StrEnum):
    """What a bucket is asked on a job's way."""

    FIRST_GET = auto()
    REOPEN = auto()
    HEAD = auto()
    """Of an object whose GET names an encoding: the HEAD has to confirm it."""

    HEAD_FOR_LENGTH = auto()
    """Of an object whose GET names no length."""

    LIST = auto()
    """Asked by a probe, after a first GET that was answered 503."""

    INITIATE = auto()
    PART = auto()
    COMPLETE = auto()
    PUT = auto()


class Break(StrEnum):
    """How a connection ends instead of an answer."""

    REFUSED = auto()
    RESET = auto()
    """Before the answer's head."""

    CLOSED_IN_HEAD = auto()
    CLOSED_IN_BODY = auto()
    SILENCE = auto()


MULTIPART = {Step.INITIATE, Step.PART, Step.COMPLETE}


@define(eq=False)
class OneStepBucket:
    """Answers well, but for `step`, where `fault` happens: a status, with S3's `word` if there is one, or a break.

    `everywhere`: it happens at every step of the source, or of the destination.
    """

    step: Step
    fault: int | Break | None = None
    word: str = ""
    everywhere: bool = False
    port: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        try:
            while (request := await connection.request()) is not None:
                while await connection.piece():
                    pass
                if not await self._answer(request, connection):
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    def is_bad(self, method: str, target: str) -> bool:
        """Whether the fault happens to this request."""
        step = step_of(method, target)
        if self.everywhere:
            return target.startswith("/copies") == (self.step in {*MULTIPART, Step.PUT})
        return step == (Step.HEAD if self.step is Step.HEAD_FOR_LENGTH else self.step)

    async def _answer(self, request: h11.Request, connection: Connection) -> bool:
        """Answer one request. Returns False if the connection is to be closed."""
        method, target = request.method.decode(), request.target.decode()
        ranged = any(name == b"range" for name, _ in request.headers)
        is_bad = self.is_bad("RANGE" if ranged else method, target)
        if is_bad and isinstance(self.fault, Break):
            await self._break(self.fault, method, connection.stream)
            return False
        if is_bad and self.fault is not None:
            word = f"<Error><Code>{self.word}</Code></Error>".encode() if self.word else b""
            bodiless = method == "HEAD" or self.fault in {204, 304}
            await connection.answer(self.fault, self._closing(), b"" if bodiless else word)
        elif target.startswith("/source"):
            return await self._give(method, target, ranged, connection)
        else:
            status, body = _destination_says(method, target)
            await connection.answer(status, [("ETag", ETAG), *self._closing()], body)
        return self.fault is not Break.REFUSED

    async def _give(self, method: str, target: str, ranged: bool, connection: Connection) -> bool:
        """Answer as a source."""
        if "list-type" in target:
            await connection.answer(200, self._closing(), _LISTING)
        elif self.step is Step.LIST and target.endswith(KEY):
            await connection.answer(503, self._closing())
        elif method == "HEAD":
            encoding = [("Content-Encoding", "gzip")] if self.step is Step.HEAD else []
            await connection.answer(200, [("ETag", ETAG), *encoding, *self._closing()], length_bytes=len(BODY))
        elif self.step is Step.REOPEN:
            start = 700 if ranged else 0
            span = {"content_range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if ranged else {}
            status, rest = (206, BODY[start:]) if ranged else (200, BODY[:700])
            await connection.stream.send_all(head(status, etag=ETAG, content_length=len(BODY) - start, **span) + rest)
            return False
        elif self.step is Step.HEAD_FOR_LENGTH:
            whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
            await connection.stream.send_all(head(200, etag=ETAG, transfer_encoding="chunked") + whole)
            return False
        else:
            encoding = [("Content-Encoding", "gzip")] if self.step is Step.HEAD else []
            await connection.answer(200, [("ETag", ETAG), *encoding, *self._closing()], BODY)
        return self.fault is not Break.REFUSED

    def _closing(self) -> list[tuple[str, str]]:
        """Only a new connection can be refused."""
        return [("Connection", "close")] if self.fault is Break.REFUSED else []

    async def _break(self, how: Break, method: str, stream: trio.abc.Stream) -> None:
        assert isinstance(stream, trio.SocketStream)
        if how is Break.RESET:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how is Break.CLOSED_IN_HEAD:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif how is Break.CLOSED_IN_BODY:
            await stream.send_all(self._promise(method))
        elif how is Break.SILENCE:
            await trio.sleep_forever()

    def _promise(self, method: str) -> bytes:
        """The head of a right answer and no more of its body than a byte."""
        if method == "HEAD":
            encoding = {"content_encoding": "gzip"} if self.step is Step.HEAD else {}
            return head(200, etag=ETAG, content_length=len(BODY), **encoding)
        if self.step is Step.REOPEN:
            return head(206, etag=ETAG, content_length=800, content_range=f"bytes 700-1499/{len(BODY)}") + b"x"
        return head(200, etag=ETAG, content_length=len(BODY)) + b"x"


_LISTING = b"<ListBucketResult><Contents><Key>other.mp4</Key><Size>5</Size></Contents></ListBucketResult>"


def step_of(method: str, target: str) -> Step | None:
    """None for what is no step of the table, such as the notes about uploads. `RANGE` is a GET with a range."""
    if target.startswith("/source"):
        if "list-type" in target:
            return Step.LIST
        found = {"HEAD": Step.HEAD, "RANGE": Step.REOPEN, "GET": Step.FIRST_GET}[method]
        return found if target.endswith(KEY) else None
    if ".streamwarm" in target or method not in {"PUT", "POST"}:
        return None
    if method == "PUT":
        return Step.PART if "partNumber" in target else Step.PUT
    return Step.COMPLETE if "uploadId" in target else Step.INITIATE


def _destination_says(method: str, target: str) -> tuple[int, bytes]:
    if method == "POST" and "uploadId" in target:
        return 200, b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
    if method == "POST":
        return 200, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    if method == "GET" and "list-type" in target:
        return 200, b"<ListBucketResult></ListBucketResult>"
    return {"DELETE": 204, "HEAD": 404}.get(method, 200), b""
