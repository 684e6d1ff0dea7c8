"""Finds out whether a bucket refuses one object or every object.

A refusal such as AccessDenied does not say what it is about. So the bucket is asked to begin a multipart upload of
another key, which takes the permission to write that key and stores nothing; the upload is aborted at once. If the
bucket gives the same refusal again, it refuses everything: the destination pauses, and no job is charged for it.

A probe needs the permission to write and has no object in it. So it shows nothing of what a bucket has against the form
of every upload (a header that it wants or does not know). If `ALIKE` different keys in a row meet the same answer and
none is stored between them, the bucket is taken to refuse everything, whatever the probe says.

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

ALIKE = 3
"""Different keys in a row that the bucket has to refuse alike. Fewer would stop a destination for one or two odd names;
each one more costs another job an attempt."""


@define(eq=False)
class BucketProbe:
    """Probes one destination's bucket. `probed_key` is the last key that was stored, or at first a name of its own."""

    client: S3Client
    probed_key: str
    within_s: float = PROBE_S
    _probing: trio.Lock = field(factory=trio.Lock, init=False)
    _ended: int = field(default=0, init=False)
    _found: DestinationError | None = field(default=None, init=False)
    _answer: tuple[int, str] | None = field(default=None, init=False)
    _refused: set[str] = field(factory=set, init=False)

    def stored(self, key: str) -> None:
        """The bucket has stored an object under this key."""
        self.probed_key = key
        self._refused.clear()

    async def judge(self, key: str, refused: UnclearRefusal) -> DestinationError:
        """Return the error that the attempt ends with: `refused`, or a pause of the destination, or the trouble that
        the probe met."""
        found = await self._probe_once()
        if found is not None and not isinstance(found, UnclearRefusal):
            return found
        probed_alike = found is not None and found.answer == refused.answer
        is_of_all = probed_alike or (self._keys_refused_alike(key, refused) and not refused.denied)
        return refused.of_the_bucket() if is_of_all else refused

    def _keys_refused_alike(self, key: str, refused: UnclearRefusal) -> bool:
        if refused.answer != self._answer:
            self._answer = refused.answer
            self._refused.clear()
        if len(self._refused) < ALIKE:
            self._refused.add(key)
        return len(self._refused) >= ALIKE

    async def _probe_once(self) -> DestinationError | None:
        """Why the bucket cannot be written, or None. Calls during a probe share its result."""
        ended = self._ended
        async with self._probing:
            if self._ended == ended:
                self._found = await self._why_not()
                self._ended += 1
            return self._found

    async def _why_not(self) -> DestinationError | None:
        key = self.probed_key
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
