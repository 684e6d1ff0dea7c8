"""Decides whether trouble with an object is the bucket's, and pauses the bucket for every process until it is over.

One fact about a bucket must not cost a thousand jobs their attempts. So before an attempt that met passing trouble is
charged for it, the bucket itself is probed. If the probe fails too, or the bucket refuses every request (a rotated key,
a wrong clock), the source is paused: no job that needs the bucket is handed out, and no attempt is used. Objects in
the cache are still sent.

The pause is stored, so it reaches every process of the store and outlives a restart. One process at a time holds the
lease to probe the bucket; the probe that succeeds ends the pause. A user who resumes the service has it probed at once.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from streamwarm.backlog.shared_limits import SOURCE_LEASE, SharedLimits
from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.errors import Blame, ErrorCode, SourceError, StoreUnavailable
from streamwarm.fetch.source import Source
from streamwarm.retry import backoff_s
from streamwarm.watch.observations import Observer, SourcePaused, SourceResumed, StoreTrouble

PROBE_S = 60.0
"""The longest time between two probes of a paused bucket, in seconds (contract, section 4)."""

PROBE_WITHIN_S = 15.0
"""How long a probe may take, in seconds. A bucket that needs longer to list one key serves no job either."""

LEASE_S = 30.0
"""How long the lease to probe lasts without renewal, in seconds: if its holder dies, another process probes then."""

RENEW_S = LEASE_S / 3


def probe_wait_s(failures: int, *, refused: bool) -> float:
    """Seconds until the next probe after so many failed in a row (from 1).

    A refusal ends when somebody fixes its cause, so it is probed once a minute. Other trouble passes by itself, often
    within seconds: the wait doubles from one second to a minute.
    """
    return PROBE_S if refused else min(PROBE_S, backoff_s(failures, 1.0))


@define
class SourceGuard:
    """`new_token` names this process's lease. `wake` is called when the pause has begun or ended here."""

    store: Store
    limits: Limits
    source: Source
    new_token: Callable[[], str]
    wake: Callable[[], None]
    observe: Observer
    _token: str = field(init=False)
    _probing: trio.Lock = field(factory=trio.Lock)
    _probed_at: float = float("-inf")
    _found: SourceError | None = None
    _decided_at: float = float("-inf")
    _resumes_seen: int = 0
    _changed: trio.Event = field(factory=trio.Event)

    @_token.default
    def _new_token(self) -> str:
        return self.new_token()

    async def is_of_the_bucket(self, error: SourceError) -> bool:
        """Whether this error is the bucket's fault and not the object's. If so, the source is paused on return.

        A refusal that is of every request by its wording is probed too: if it were believed and the probe then ended
        the pause at once, one odd object would stop all the others again and again.
        """
        if error.blame is Blame.OBJECT:
            return False
        if self.limits.source_pause is None:
            failed = await self._probe_once(since=trio.current_time())
            if failed is None:
                return False
            await self._pause(error.message if error.blame is Blame.BUCKET else failed.message)
        return True

    def follow(self, shared: SharedLimits, read_at: float) -> bool:
        """Apply what the store held when a read of it began (trio's time). Returns True if that changed anything.

        A read that began before this process's own change is older than that, and is not applied.
        """
        if shared.service_resumes != self._resumes_seen:
            self._resumes_seen = shared.service_resumes
            self._changed.set()
        before = self.limits.source_pause
        if read_at < self._decided_at or (before is None) == (shared.source is None):
            return False
        self._apply(shared.source.reason if shared.source else None)
        self._changed.set()
        return True

    async def run(self) -> None:
        """While the source is paused, probe it if this process holds the lease. Runs until cancelled."""
        while True:
            if self.limits.source_pause is not None:
                try:
                    await self._probe_until_it_works()
                except StoreUnavailable as exc:
                    self.observe(StoreTrouble("probing a paused bucket", str(exc)))
            await self._sleep(RENEW_S)

    async def _probe_until_it_works(self) -> None:
        """Probe for as long as this process holds the lease. Raises `StoreUnavailable`."""
        failures, due_at = 0, trio.current_time()
        while await self.store.take_lease(SOURCE_LEASE, self._token, lease_s=LEASE_S):
            if trio.current_time() >= due_at:
                failed = await self._probe_once(since=trio.current_time())
                if failed is None:
                    await self._resume()
                    return
                failures += 1
                due_at = trio.current_time() + probe_wait_s(failures, refused=failed.blame is Blame.BUCKET)
            if await self._sleep(min(RENEW_S, max(0.0, due_at - trio.current_time()))):
                due_at = trio.current_time()

    async def _probe_once(self, *, since: float) -> SourceError | None:
        """Why the bucket cannot be read, or None. One probe answers all who ask while it is under way."""
        async with self._probing:
            if self._probed_at < since:
                self._found = await self._why_not()
                self._probed_at = trio.current_time()
            return self._found

    async def _why_not(self) -> SourceError | None:
        try:
            with trio.fail_after(PROBE_WITHIN_S):
                await self.source.probe()
        except trio.TooSlowError:
            return SourceError(ErrorCode.TIMEOUT, f"the bucket did not answer within {PROBE_WITHIN_S:g} s")
        except SourceError as error:
            return error
        return None

    async def _pause(self, reason: str) -> None:
        if self.limits.source_pause is not None:
            return
        self._decided_at = float("inf")  # until it is stored
        self._apply(reason)
        self.observe(SourcePaused(reason))
        self.wake()
        try:
            await self.store.pause_source(reason)
        except StoreUnavailable as exc:
            self.observe(StoreTrouble("pausing the bucket", str(exc)))
        finally:
            self._decided_at = trio.current_time()
        self._changed.set()

    def _apply(self, reason: str | None) -> None:
        """Pause the source in this process, or end its pause (None)."""
        self.limits.source_pause = None if reason is None else Pause(None, reason, by=PausedBy.SOURCE)
        self.source.set_offline(reason is not None)

    async def _resume(self) -> None:
        """End the pause for every process. Raises `StoreUnavailable`."""
        await self.store.end_lease(SOURCE_LEASE, self._token)
        self._decided_at = trio.current_time()
        self._apply(None)
        self.observe(SourceResumed())
        self.wake()

    async def _sleep(self, seconds: float) -> bool:
        """Sleep so long. Returns True if something has changed since the last call."""
        with trio.move_on_after(seconds):
            await self._changed.wait()
        has_changed = self._changed.is_set()
        if has_changed:
            self._changed = trio.Event()
        return has_changed
