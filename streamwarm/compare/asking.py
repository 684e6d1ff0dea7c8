"""Asks the bucket which version of an object it has, for as long as an answer may take, and judges its refusals.

Trouble that may be the bucket's goes to the source guard, as a worker's does. So a rotated key pauses the bucket though
nothing is streamed. But it never fails a job: if the bucket does not say, the record is answered as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from attrs import frozen

from streamwarm.backlog.records import Found, Gone, Seen, Unanswered
from streamwarm.errors import ErrorCode, SourceError
from streamwarm.fetch.source import Source
from streamwarm.retry import backoff_s
from streamwarm.watch.observations import Observer, UnexpectedError

SILENT_S = 30.0
"""How long the bucket may leave a question unanswered, in seconds (contract, section 4)."""


@frozen
class Bucket:
    """What is asked, and how. `is_of_the_bucket` is the source guard's, `now` the store's clock (Unix seconds), and
    `random` uniform in [0, 1)."""

    source: Source
    is_of_the_bucket: Callable[[SourceError], Awaitable[bool]]
    now: Callable[[], float]
    random: Callable[[], float]
    observe: Observer

    async def ask(self, r2_key: str, *, patient: bool) -> tuple[Seen, float]:
        """Return what the bucket has under this name, and when it was asked. `patient`: passing trouble is outlasted
        for `SILENT_S`."""
        with trio.move_on_after(SILENT_S):
            try:
                return await self._ask(r2_key, patient=patient)
            except Exception as error:  # a bug of ours: it costs this comparison, never the service
                self.observe(UnexpectedError(f"comparing object {r2_key!r}", error))
        return Unanswered(), self.now()

    async def _ask(self, r2_key: str, *, patient: bool) -> tuple[Seen, float]:
        tries = 0
        while True:
            asked_at = self.now()
            try:
                version = await self.source.version_of(r2_key)
            except SourceError as error:
                if await self.is_of_the_bucket(error):
                    break
                if error.code is ErrorCode.SOURCE_NOT_FOUND:
                    return Gone(), asked_at
                if not (patient and error.passing):
                    break
                tries += 1
                await trio.sleep(max(backoff_s(tries, self.random()), error.retry_after_s or 0.0))
            else:
                return Found(version.etag, version.last_modified), asked_at
        return Unanswered(), self.now()
