"""Asks a bucket which version of an object it has: by HEAD, or by a GET that is closed at once.

Some keys and proxies refuse HEAD and allow GET, and a refused HEAD has no body that says why. So whatever a HEAD does
not answer is asked by a GET of the first byte, and, if the range is refused, by a plain GET: only that one is a verdict
on the object. A moment of trouble is no refusal; the caller asks again later.
"""

from __future__ import annotations

import trio
from attrs import define

from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.answers import Asked
from streamwarm.fetch.bucket import BucketClient
from streamwarm.fetch.source import ObjectVersion

STEP_S = 5.0
"""How long each request may take, in seconds. The answer has no body, so a longer wait is silence."""

HEADS_AGAIN_S = 60.0
"""How long GET is used at once after a HEAD was refused and a GET was not, in seconds: refusals are seldom about one
object."""

_FIRST_BYTE = {"range": "bytes=0-0"}
_OK = frozenset({200})
_OK_OR_PARTIAL = frozenset({200, 206})
_SAID = frozenset(range(200, 600)) - {429, 500, 502, 503, 504}
"""Statuses of HEAD but those after which the bucket is not asked again at once: it is busy, or in passing trouble."""


@define
class Versions:
    """Asks one bucket. It remembers for a minute that HEAD is refused."""

    _bucket: BucketClient
    _heads_from: float = 0.0  # trio's time

    async def ask(self, r2_key: str) -> ObjectVersion:
        """Return the version. Raises `SourceError`."""
        if trio.current_time() < self._heads_from:
            return await self._by_get(r2_key)
        version = await self._by_head(r2_key)
        if version is None:
            version = await self._by_get(r2_key)
            self._heads_from = trio.current_time() + HEADS_AGAIN_S
        return version

    async def _by_head(self, r2_key: str) -> ObjectVersion | None:
        """Returns None if a GET has to tell. Raises `SourceError` if the bucket is in trouble."""
        try:
            answer = await self._bucket.ask(Asked.HEAD, r2_key, expect=_SAID, within_s=STEP_S)
        except SourceError as error:
            if error.code is ErrorCode.TIMEOUT:
                return None
            raise
        try:
            await answer.piece()  # there is none, but without a read the connection could not be used again
        finally:
            await answer.aclose()
        return answer.head.version if answer.head.status == 200 else None

    async def _by_get(self, r2_key: str) -> ObjectVersion:
        try:
            return await self._get(r2_key, _FIRST_BYTE)
        except SourceError as error:
            if error.passing or error.blame is not Blame.UNSURE or error.code is ErrorCode.SOURCE_NOT_FOUND:
                raise
        return await self._get(r2_key, {})

    async def _get(self, r2_key: str, headers: dict[str, str]) -> ObjectVersion:
        expect = _OK_OR_PARTIAL if headers else _OK
        answer = await self._bucket.ask(Asked.OBJECT, r2_key, expect=expect, headers=headers, within_s=STEP_S)
        try:
            if answer.head.status == 206:
                with trio.move_on_after(STEP_S):
                    await answer.read(2)  # to the end, so that the connection can be used again
        finally:
            await answer.aclose()
        return answer.head.version
