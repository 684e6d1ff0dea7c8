"""Uploads a large object into a bucket, part after part from one stream, and leaves nothing behind if that breaks.

Theory. The object comes as one stream, so sending parts side by side would mean holding them in memory. Only the waits
can overlap: while the bucket still works on the answer for one part, the next part is sent. So at most `UNANSWERED`
parts are in progress, one of them moving, and memory stays at one piece.

A part that fails cannot be sent again, because its bytes are gone. The attempt ends, the upload is aborted, and the
next attempt begins anew. Nothing is visible before CompleteMultipartUpload, and that is sent only after the body has
ended, which it does only if the digest agrees.

What a killed process leaves. An unfinished upload is invisible but costs money. A listing of uploads shows their keys
but not whose they are. So while one of ours is in progress, a small object under `TRACES` names its job and its upload
(`Trace`). A job has one attempt at a time, so a trace of the same job is from an earlier attempt, and the next attempt
aborts its upload. A service that starts does the same for the traces of all jobs in its store that are not running.
Traces of other jobs belong to another installation and are left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import cast

import trio
from attrs import define, field

from streamwarm.errors import AttemptError, DestinationError, ErrorCode
from streamwarm.model import State
from streamwarm.s3.bounds import TRACES
from streamwarm.send.destination import Body
from streamwarm.send.exchange import Answer
from streamwarm.send.s3.answers import (
    Trace,
    UnclearRefusal,
    complete_body,
    etag_of_parts,
    is_error,
    read_completed,
    read_keys,
    read_upload_id,
)
from streamwarm.send.s3.client import STORED, S3Client

UNANSWERED = 2
"""The most parts in progress: one that moves and one whose answer is awaited. With answers that take 100 ms, 1 GiB in
parts of 64 MiB took 4.6 and 6.0 s with one, 2.7 and 2.9 s with two, 2.9 and 3.0 s with three (loopback, busy
machine)."""

BEGIN_S = 10.0
"""How long the two small requests that begin an upload may take. A cancellation waits for them."""

TIDY_S = 5.0
"""How long an attempt that failed or was cancelled may take to abort its upload. After that its trace remains."""

COMPLETE_S = 300.0
"""How long the last step may take: S3 needs minutes to join an object of thousands of parts."""

MOST_SWEPT = 1000
"""The most traces that one sweep reads: one page of a listing. More would mean that a thousand uploads broke at
once."""


@define(eq=False)
class Multipart:
    """Multipart uploads of one destination. `new_token` returns a name that no other trace has."""

    client: S3Client
    destination: str
    new_token: Callable[[], str]
    begin_s: float = BEGIN_S

    async def upload(self, job_id: str, key: str, headers: Mapping[str, str], sizes: list[int], body: Body) -> str:
        """Upload the object in parts of these sizes and return its ETag.

        Raises `DestinationError`: `delivery_unknown` if the last step's answer was lost. A `SourceError` from the body
        passes through.
        """
        with suppress(DestinationError):  # an upload that cannot be aborted keeps its trace
            await self._abort_all(self.folder(job_id))
        async with self._begun(job_id, key, headers) as upload_id:
            etags = await self._send_parts(key, upload_id, sizes, body)
            return await self._complete(key, upload_id, etags, sum(sizes))

    async def sweep(self, state_of: Callable[[str], Awaitable[State | None]]) -> None:
        """Abort the uploads that earlier attempts have left behind."""
        await self._abort_all(self.folder(), state_of)

    @asynccontextmanager
    async def _begun(self, job_id: str, key: str, headers: Mapping[str, str]) -> AsyncIterator[str]:
        """Begin an upload and yield its id. If the block raises, the upload is aborted; otherwise its trace is
        removed."""
        try:
            with trio.fail_after(self.begin_s, shield=True):
                name, trace = await self._begin(job_id, key, headers)
        except trio.TooSlowError:
            raise DestinationError(
                ErrorCode.TIMEOUT, f"the bucket did not begin an upload within {self.begin_s:g} s"
            ) from None
        try:
            yield trace.upload_id
        except BaseException:
            await self._tidy(name, trace)
            raise
        with trio.move_on_after(TIDY_S, shield=True):
            await self._forget(name)

    async def _begin(self, job_id: str, key: str, headers: Mapping[str, str]) -> tuple[str, Trace]:
        """Begin an upload and write its trace. The caller shields both steps: an upload without a trace is never
        found."""
        begun = await self.client.ask("POST", key, query=(("uploads", ""),), headers=headers)
        if begun.status != 200 or is_error(begun.body):
            raise self.client.refusal(begun, key)
        trace = Trace(job_id, key, read_upload_id(begun.body))
        name = f"{self.folder(job_id)}{self.new_token()}"
        try:
            noted = await self.client.ask("PUT", name, body=trace.to_json())
            if noted.status not in STORED:
                refused = self.client.refusal(noted, name)
                # The name is ours, so the refusal is about no object.
                raise refused.of_the_bucket() if isinstance(refused, UnclearRefusal) else refused
        except BaseException:
            await self._tidy(name, trace)
            raise
        return name, trace

    async def _tidy(self, name: str, trace: Trace) -> None:
        """Abort after a failure, without raising: the failure is the error to report. If aborting fails, the trace
        stays."""
        with trio.move_on_after(TIDY_S, shield=True), suppress(DestinationError):
            await self._abort(name, trace)

    async def _abort_all(self, folder: str, state_of: Callable[[str], Awaitable[State | None]] | None = None) -> None:
        """Abort every upload with a trace in `folder`; with `state_of`, only those of known jobs that are not
        running."""
        query = (("list-type", "2"), ("max-keys", str(MOST_SWEPT)), ("prefix", folder))
        listed = await self.client.ask("GET", query=query)
        if listed.status != 200:
            raise self.client.refusal(listed, folder)
        failed: DestinationError | None = None
        for name in read_keys(listed.body):
            try:
                trace = Trace.from_json((await self.client.ask("GET", name)).body)
                if trace and (state_of is None or await state_of(trace.job_id) not in {None, State.RUNNING}):
                    await self._abort(name, trace)
            except DestinationError as error:
                failed = error  # this one keeps its trace; continue with the others
        if failed is not None:
            raise failed

    def folder(self, job_id: str | None = None) -> str:
        """Return the folder of one job's traces, or of all. It has the digest of the job's id, which may be any
        text."""
        folder = f"{TRACES}{self.destination}/"
        return folder if job_id is None else f"{folder}{hashlib.sha256(job_id.encode()).hexdigest()[:32]}/"

    async def _abort(self, name: str, trace: Trace) -> None:
        answer = await self.client.ask("DELETE", trace.key, query=(("uploadId", trace.upload_id),))
        if answer.status not in {200, 204, 404}:  # 404: aborted or completed already
            raise self.client.refusal(answer, trace.key)
        await self._forget(name)

    async def _forget(self, name: str) -> None:
        """Remove a trace. If that fails, the next sweep finds that its upload is gone, and removes it."""
        with suppress(DestinationError):
            await self.client.ask("DELETE", name)

    async def _send_parts(self, key: str, upload_id: str, sizes: list[int], body: Body) -> list[str]:
        """Send all parts and return their ETags."""
        etags = [""] * len(sizes)
        failures: list[AttemptError] = []
        unanswered = trio.Semaphore(UNANSWERED)

        async def send(number: int, part: Part) -> None:
            query = (("partNumber", str(number)), ("uploadId", upload_id))
            try:
                async with aclosing(part.pieces()) as content:
                    etags[number - 1] = await self.client.upload(
                        key, content, part, length_bytes=part.size, query=query
                    )
                if not etags[number - 1]:
                    raise DestinationError(ErrorCode.DESTINATION_UNAVAILABLE, f"part {number} got no ETag")
            except AttemptError as error:
                failures.append(error)
                parts.cancel_scope.cancel()
            unanswered.release()

        async with aclosing(body.pieces()) as pieces:
            cut = Cut(pieces)
            async with trio.open_nursery() as parts:
                for number, size in enumerate(sizes, 1):
                    await unanswered.acquire()
                    part = Part(cut, size, is_last=number == len(sizes))
                    parts.start_soon(send, number, part)
                    await part.taken.wait()
        if failures:
            raise failures[0]
        return etags

    async def _complete(self, key: str, upload_id: str, etags: list[str], size_bytes: int) -> str:
        """Put the parts together. If the answer does not say how it went, the bucket is asked for the object.

        If that does not settle it, completing is asked for once more.
        """
        for is_last_try in (False, True):
            answer = await self._ask_to_complete(key, upload_id, etags)
            # A 404 to the second try: the first one completed the upload, or it was aborted.
            if answer is not None and not (is_last_try and answer.status == 404):
                # S3 sends its 200 before it knows whether the parts can be joined.
                if answer.status not in STORED or is_error(answer.body):
                    raise self.client.refusal(answer, key)
                if etag := self.client.kept_etag(answer, read_completed(answer.body) or ""):
                    return etag
            acknowledged = answer is not None and answer.status in STORED
            if found := await self._completed_after_all(key, etags, size_bytes, acknowledged=acknowledged):
                return found
        raise DestinationError(ErrorCode.DELIVERY_UNKNOWN, "every byte was sent but the last step's answer was lost")

    async def _ask_to_complete(self, key: str, upload_id: str, etags: list[str]) -> Answer | None:
        """Return the answer, or None if it was lost."""
        query, body = (("uploadId", upload_id),), complete_body(etags)
        with suppress(DestinationError):
            answer = await self.client.ask("POST", key, query=query, body=body, within_s=COMPLETE_S)
            return answer if answer.whole else None
        return None

    async def _completed_after_all(
        self, key: str, etags: list[str], size_bytes: int, *, acknowledged: bool
    ) -> str | None:
        """The object's ETag, if the bucket has it by now.

        It is known by the ETag that its parts give. Where they give none, its size will do if the bucket has
        acknowledged the last step.
        """
        expected = etag_of_parts(etags)
        with suppress(DestinationError):
            head = await self.client.ask("HEAD", key)
            etag = head.headers.get("ETag", "")
            has_size = head.headers.get("Content-Length") == str(size_bytes)
            is_whole = etag == expected or (acknowledged and has_size)
            return self.client.kept_etag(head, etag) or None if head.status == 200 and is_whole else None
        return None


@define(eq=False)
class Cut:
    """A body's pieces, read in runs of any length. A piece that spans two runs is shared by them."""

    _pieces: AsyncGenerator[bytes, None]
    _rest: memoryview = field(factory=lambda: memoryview(b""))

    async def next(self, at_most: int) -> memoryview:
        """Return the next bytes, as many as are available, or an empty run at the end of the body."""
        if not self._rest:
            self._rest = memoryview(await anext(self._pieces, b""))
        run, self._rest = self._rest[:at_most], self._rest[at_most:]
        return run


@define(eq=False)
class Part:
    """One part as it is uploaded. `taken` is set once the network has all of it.

    It never counts as `upload_sent`, because losing a part's answer leaves no delivery uncertain.
    """

    cut: Cut
    size: int
    is_last: bool
    bytes_out: int = 0
    upload_sent: bool = False
    taken: trio.Event = field(factory=trio.Event)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        while self.bytes_out < self.size:
            run = await self.cut.next(self.size - self.bytes_out)
            if not run:
                return
            size = len(run)
            yield cast(bytes, run)
            self.bytes_out += size
        if self.is_last:
            await self.cut.next(1)  # tells the body that its last piece was taken
        self.taken.set()
