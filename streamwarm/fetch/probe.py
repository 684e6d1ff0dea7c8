"""Finds out whether a bucket can be read, with a few small requests.

An object that could be read before is asked for first: usually that is all. If it is denied, or none is known, the
bucket is listed. A key may list and not read, or read and not list, so objects that are listed or that jobs wait for
are asked for then. One answer about an object is enough: others may be denied, or in trouble, for reasons of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar

import trio

from streamwarm.errors import Blame, ErrorCode, SourceError
from streamwarm.fetch.answers import Asked, ListPage
from streamwarm.fetch.bucket import BucketClient

STEP_S = 5.0
"""How long each request of a probe may take, in seconds. Some servers list slowly and read well."""

PROBE_KEYS = 2
"""How many objects a probe asks for at most of those that could be read before, and again of others."""

T = TypeVar("T")


class ListFirst(Protocol):
    """Lists the beginning of the bucket. Raises `SourceError`."""

    async def __call__(self, prefix: str, token: str | None, *, max_keys: int) -> ListPage: ...


async def probe_bucket(
    bucket: BucketClient, list_page: ListFirst, known: Sequence[str], queued: Sequence[str]
) -> str | None:
    """Raise `SourceError` if the bucket cannot be read. Returns the key of an object that could be read, if any.

    `known` are keys of objects that could be read before, `queued` those of objects that jobs wait for.
    """
    probe = _Probe(bucket)
    if await probe.has_answered(Asked.READABLE, known[:PROBE_KEYS]):
        return probe.given
    others = list(queued)
    try:
        page = await _within(list_page("", None, max_keys=PROBE_KEYS))
        listed = [one.r2_key for one in page.objects]
        others = [*listed[:1], *queued, *listed[1:]]
    except SourceError as error:
        # Even if it refuses the key, objects are asked for: some proxies spoil the signature of every query.
        probe.note(error)
    others = [key for key in dict.fromkeys(others) if key not in known]
    if not await probe.has_answered(Asked.OBJECT, others[:PROBE_KEYS]) and probe.failed:
        raise probe.failed[-1]
    return probe.given


class _Probe:
    """What one probe has found: the errors so far, and the key of an object that could be read."""

    def __init__(self, bucket: BucketClient) -> None:
        self._bucket = bucket
        self.failed: list[SourceError] = []
        self.given: str | None = None

    async def has_answered(self, asked: Asked, keys: Sequence[str]) -> bool:
        """Ask for objects until one answer is about the object.

        Raises `SourceError` if the bucket refuses every request alike, or if two requests failed in a way that passes:
        one object alone may be in trouble.
        """
        for key in keys:
            try:
                answer = await _within(self._bucket.ask(asked, key, expect=frozenset({200})))
            except SourceError as error:
                if error.blame is Blame.OBJECT:
                    return True  # it is gone, or empty
                self.note(error)
                if error.blame is Blame.BUCKET:
                    raise
            else:
                await answer.aclose()
                self.given = key
                return True
        return False

    def note(self, error: SourceError) -> None:
        """Keep the error. Raises it if it is the second one that would pass by itself."""
        self.failed.append(error)
        if sum(failed.passing for failed in self.failed) > 1:
            raise error


async def _within(asked: Awaitable[T]) -> T:
    with trio.move_on_after(STEP_S):
        return await asked
    raise SourceError(ErrorCode.TIMEOUT, f"the bucket did not answer within {STEP_S:g} s")
