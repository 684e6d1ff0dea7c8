"""Compares records with their objects: for jobs that wait for it, and for look-ups of records that are old.

    push, store ──► keys, each once ──► HEADs, many at once ──bounded channel──► store.compare, in groups ──► dispatcher

A comparison is not an attempt. It takes no worker and nothing of a destination's budget, and goes on while destinations
are paused. The jobs that wait are in the store: it is read at the start, when keys found no room here, and every
`READ_EVERY_S`. So whatever this process forgets, or another one that died, is compared all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import trio
from attrs import define, field

from streamwarm.backlog.records import Compared, Comparison, RecordStore, Unanswered
from streamwarm.backlog.store import Pushed
from streamwarm.compare.asking import Bucket
from streamwarm.compare.pending import MOST_WANTED, Pending
from streamwarm.errors import StoreUnavailable
from streamwarm.model import QueuedJob
from streamwarm.warm_record import WarmRecord
from streamwarm.watch.observations import Observer, StoreTrouble, UnexpectedError
from streamwarm.watch.record_news import JobMissing, JobsUnchanged

READ_EVERY_S = 2.0
"""How often the store is read for comparisons that nobody has made, in seconds, and how long they have waited then: the
process that took the push is about to make the others."""

BATCH = 256
"""How many comparisons one transaction applies, and how many may wait for the next. That takes SQLite some 20 ms."""

GATHER_S = 0.03
"""How long answers gather if others are awaited, in seconds: a transaction costs as much as applying ten of them."""

MOST_AT_ONCE = 256
"""The most requests at once, whatever the pool has: the store takes no more answers than that in a moment."""

TROUBLE_S = 1.0
"""The pause after the store failed, in seconds."""


def most_at_once(connections: int, workers: int) -> int:
    """How many objects are asked for at once. A worker takes up to two connections of the pool, and goes first."""
    return max(1, min(MOST_AT_ONCE, connections - 2 * workers))


@define
class Checker:
    """One task (`run`), and what others call without waiting: `offer`, `found`.

    `at_once`: how many objects are asked for at the same time. `trust_s`: how long a comparison is trusted, in seconds.
    `revalidates`: whether look-ups of older records have them compared. `now` is the store's clock. `expect` and
    `release` are the dispatcher's: they get the ids of jobs that wait, and the jobs that workers may have now.
    """

    store: RecordStore
    bucket: Bucket
    at_once: int
    trust_s: float
    revalidates: bool
    now: Callable[[], float]
    expect: Callable[[Iterable[str]], None]
    release: Callable[[Sequence[QueuedJob]], None]
    observe: Observer
    _pending: Pending = field(init=False)
    _ready: trio.Semaphore = field(factory=lambda: trio.Semaphore(0))
    _more: bool = True  # the store has keys that found no room here
    _low: trio.Event = field(factory=trio.Event)
    _send: trio.MemorySendChannel[Comparison] = field(init=False)
    _receive: trio.MemoryReceiveChannel[Comparison] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pending = Pending(self.trust_s)
        self._send, self._receive = trio.open_memory_channel[Comparison](BATCH)

    def offer(self, jobs: Sequence[Pushed]) -> None:
        """Take what a push of this process has just committed, or joined, and what waits for a comparison."""
        self.expect(job.id for job in jobs if not job.duplicate)
        self._want(job.to_check for job in jobs if job.to_check is not None)

    def found(self, record: WarmRecord) -> None:
        """A look-up has answered this record. If it was not compared lately, compare it in the background."""
        if not self.revalidates:
            return
        checked_at = record.checked_at
        if checked_at is not None and 0 <= self.now() - checked_at < self.trust_s:
            return
        if self._pending.look_up(record.r2_key, record.destination, record.kind, trio.current_time()):
            self._ready.release()

    async def run(self) -> None:
        """Compare until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_store)
            nursery.start_soon(self._record)
            for _ in range(self.at_once):
                nursery.start_soon(self._ask)

    async def _read_store(self) -> None:
        waited_s = 0.0
        while True:
            self._low = trio.Event()
            try:
                r2_keys = await self.store.to_check(MOST_WANTED, waited_s=waited_s)
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("reading what is to be compared", str(exc)))
                await trio.sleep(TROUBLE_S)
                continue
            self._more = len(r2_keys) >= MOST_WANTED
            self._want(r2_keys, is_known=True)
            with trio.move_on_after(READ_EVERY_S):
                await self._low.wait()
            waited_s = 0.0 if self._more else READ_EVERY_S

    def _want(self, r2_keys: Iterable[str], *, is_known: bool = False) -> None:
        for r2_key in r2_keys:
            is_new = self._pending.want(r2_key, is_known=is_known)
            if is_new:
                self._ready.release()
            self._more |= is_new is None

    async def _ask(self) -> None:
        while True:
            await self._ready.acquire()
            r2_key, is_wanted = self._pending.take()
            if self._more and not self._pending.wanted:
                self._low.set()
            seen, asked_at = await self.bucket.ask(r2_key, patient=is_wanted)
            if isinstance(seen, Unanswered) and not is_wanted:
                self._done([r2_key])
            else:
                await self._send.send(Comparison(r2_key, seen, asked_at, self._pending.rewarm(r2_key)))

    async def _record(self) -> None:
        """Apply what the bucket said, in groups: the slower the store, the larger they are."""
        while True:
            batch = [await self._receive.receive()]
            if self._pending.asked > 1:
                await trio.sleep(GATHER_S)
            waiting = min(BATCH - 1, self._receive.statistics().current_buffer_used)
            batch += [self._receive.receive_nowait() for _ in range(waiting)]
            again: Sequence[str] = ()
            self._pending.recording(one.r2_key for one in batch)
            try:
                again = await self._apply(batch)
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("recording comparisons", str(exc)))
                await trio.sleep(TROUBLE_S)
            finally:
                self._done([one.r2_key for one in batch], again)

    async def _apply(self, batch: Sequence[Comparison]) -> Sequence[str]:
        """Returns the keys that must be asked for again."""
        try:
            compared = await self.store.compare(batch)
        except StoreUnavailable:
            raise
        except Exception as exc:  # one that the store cannot hold must not cost the others
            if len(batch) > 1:
                return [r2_key for one in batch for r2_key in await self._apply([one])]
            self.observe(UnexpectedError(f"recording the comparison of object {batch[0].r2_key!r}", exc))
            return ()
        self.report(compared)
        return compared.again

    def report(self, compared: Compared) -> None:
        """Pass on what comparisons have changed: jobs for workers, and what is observed of those that ended."""
        if compared.queued:
            self.release(compared.queued)
        for (destination, kind), jobs in compared.unchanged.items():
            self.observe(JobsUnchanged(destination, kind, jobs))
        for job in compared.missing:
            if job.error is not None:
                about = (job.id, job.destination, job.kind, job.r2_key)
                self.observe(JobMissing(*about, job.error.code, job.error.message))

    def _done(self, r2_keys: Sequence[str], again: Sequence[str] = ()) -> None:
        for _ in range(self._pending.done(r2_keys, frozenset(again))):
            self._ready.release()
