"""Finds out whether a bucket refuses one object or every object.

A refusal such as AccessDenied does not say what it is about. So the bucket is asked to begin a multipart upload of
another key, which takes the permission to write that key and stores nothing; the upload is aborted at once. If the
bucket gives the same refusal again, it refuses everything: the destination pauses, and no job is charged for it.

The other key is the last one that was stored, since a policy may allow some prefixes only. A process that has stored
nothing asks for a name of its own, beside the objects.
"""

from __future__ import annotations

import trio
from attrs import define, field

from streamwarm.errors import DestinationError, ErrorCode, StaleConnection
from streamwarm.send.exchange import Answer
from streamwarm.send.s3.answers import UnclearRefusal, is_error, read_upload_id
from streamwarm.send.s3.client import S3Client

PROBE_S = 10.0
"""How long a probe may take, in seconds: two small requests. A cancellation waits for them."""

PROBE_NAME = "streamwarm-probe"


@define(eq=False)
class BucketProbe:
    """Probes one destination's bucket. `stored_key` is the last key that was stored, or at first a name of its own."""

    client: S3Client
    stored_key: str
    within_s: float = PROBE_S
    _probing: trio.Lock = field(factory=trio.Lock, init=False)
    _ended: int = field(default=0, init=False)
    _found: DestinationError | None = field(default=None, init=False)

    async def judge(self, refused: UnclearRefusal) -> DestinationError:
        """Return the error that the attempt ends with: `refused`, or a pause of the destination, or the trouble that
        the probe met."""
        match await self._probe_once():
            case UnclearRefusal(answer=answer):
                return refused.of_the_bucket() if answer == refused.answer else refused
            case None:
                return refused
            case found:
                return found

    async def _probe_once(self) -> DestinationError | None:
        """Why the bucket cannot be written, or None. One probe answers all who ask while it is under way."""
        ended = self._ended
        async with self._probing:
            if self._ended == ended:
                self._found = await self._why_not()
                self._ended += 1
            return self._found

    async def _why_not(self) -> DestinationError | None:
        key = self.stored_key
        try:
            with trio.fail_after(self.within_s, shield=True):
                begun = await self._begin(key)
                if begun.status != 200 or is_error(begun.body):
                    return self.client.refusal(begun, key)
                upload_id = read_upload_id(begun.body)
                await self.client.ask("DELETE", key, query=(("uploadId", upload_id),))
        except trio.TooSlowError:
            return DestinationError(ErrorCode.TIMEOUT, f"the bucket did not answer a probe within {self.within_s:g} s")
        except DestinationError as error:
            return error
        return None

    async def _begin(self, key: str) -> Answer:
        """Ask to begin an upload, and once more if a kept-alive connection was closed meanwhile."""
        try:
            return await self.client.ask("POST", key, query=(("uploads", ""),))
        except StaleConnection:
            return await self.client.ask("POST", key, query=(("uploads", ""),))
