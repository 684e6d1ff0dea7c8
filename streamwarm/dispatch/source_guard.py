"""Decides whether trouble with an object is the bucket's, and pauses the bucket for every process until it is over.

One fact about a bucket must not cost a thousand jobs their attempts. So before an attempt is charged for trouble that
may be the bucket's (an outage, a rotated key, a wrong clock), the bucket itself is probed. If the probe fails too, the
source is paused: no job that needs the bucket is handed out, and no attempt is used. Objects in the cache are still
sent.

The pause is stored, so it reaches every process of the store and outlives a restart. One process at a time holds the
lease to probe the bucket; the probe that succeeds ends the pause. A user who resumes the service has it probed at once.

The fault may be of one host alone: its clock, its key, its network. So the lease is free again shortly before the next
probe is due, and whoever takes it then probes; and a process that has found the bucket at fault by itself goes on only
when its own probe succeeds, though another one has ended the pause.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from streamwarm.backlog.shared_limits import SOURCE_LEASE, SharedLimits, SourcePause
from streamwarm.backlog.store import Store
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.errors import Blame, ErrorCode, SourceError, StoreUnavailable
from streamwarm.fetch.source import Source
from streamwarm.retry import backoff_s
from streamwarm.watch.observations import Observer, SourcePaused, SourceResumed, StoreTrouble

PROBE_S = 60.0
"""The longest time between two probes of a paused bucket, in seconds (contract, section 4)."""

PROBE_WITHIN_S = 25.0
"""How long a probe may take, in seconds: enough for each of its requests (`fetch.r2.PROBE_STEP_S`)."""

LEASE_S = 30.0
"""How long the lease is held for one probe, in seconds: longer than a probe. If its holder dies, another process takes
it after that."""

LEASE_SHARE = 0.8
"""The part of the wait for the next probe during which no other process may take the lease. In the rest, others come
first: this process has just failed."""

LOOK_S = 5.0
"""How often a process that does not hold the lease tries to take it, in seconds."""


def probe_wait_s(failures: int, *, refused: bool) -> float:
    """Seconds until the next probe after so many failed in a row (from 1).

    A refusal ends when somebody fixes its cause, so it is probed once a minute. Other trouble passes by itself, often
    within seconds: the wait doubles from one second to a minute.
    """
    return PROBE_S if refused else min(PROBE_S, backoff_s(failures, 1.0))


@define
class SourceGuard:
    """`new_token` names this process's lease. `wake` is called when the pause has begun or ended here. `redact` masks
    secrets: a server may quote what it was sent."""

    store: Store
    limits: Limits
    source: Source
    new_token: Callable[[], str]
    wake: Callable[[], None]
    observe: Observer
    redact: Callable[[str], str]
    _token: str = field(init=False)
    _probing: trio.Lock = field(factory=trio.Lock)
    _probed_at: float = float("-inf")
    _found: SourceError | None = None
    _decided_at: float = float("-inf")
    _is_shared: bool = False
    _found_here: bool = False
    _failures: int = 0
    _forced: bool = False
    _has_followed: bool = False
    _due_at: float = float("-inf")
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
            self._due_at, self._forced = trio.current_time(), True
            self._changed.set()
        if read_at < self._decided_at:
            return False
        is_first, self._has_followed = not self._has_followed, True
        self._is_shared = shared.source is not None
        return self._follow(shared.source, is_first=is_first)

    def _follow(self, source: SourcePause | None, *, is_first: bool) -> bool:
        if source is not None and self.limits.source_pause is None:
            self._forced |= is_first  # a process that starts may have another key: it probes at once
            self._apply(source.reason)
            self.observe(SourcePaused(source.reason))
        elif source is None and self.limits.source_pause is not None and not self._found_here:
            self._apply(None)
            self.observe(SourceResumed())
        else:
            return False
        self._changed.set()
        return True

    async def run(self) -> None:
        """While the source is paused, probe it when that is due and this process may. Runs until cancelled."""
        while True:
            try:
                if self.limits.source_pause is not None and trio.current_time() >= self._due_at:
                    await self._probe_if_allowed()
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("probing a paused bucket", str(exc)))
            due_in_s = self._due_at - trio.current_time()
            await self._sleep(min(LOOK_S, due_in_s) if due_in_s > 0 else LOOK_S)

    async def _probe_if_allowed(self) -> None:
        """Probe as the holder of the lease, or for this process alone if no other one is paused.

        Raises `StoreUnavailable`.
        """
        force, self._forced = self._forced, False
        holds = self._is_shared and await self.store.take_lease(SOURCE_LEASE, self._token, lease_s=LEASE_S, force=force)
        if self._is_shared and not holds:
            return
        failed = await self._probe_once(since=trio.current_time())
        if failed is None:
            await self._resume()
            return
        self._failures += 1
        self._found_here = True
        wait_s = probe_wait_s(self._failures, refused=failed.blame is Blame.BUCKET)
        self._due_at = trio.current_time() + wait_s
        if holds:
            await self.store.take_lease(SOURCE_LEASE, self._token, lease_s=wait_s * LEASE_SHARE)

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
        self._found_here, self._failures, self._due_at = True, 0, trio.current_time()
        reason = self.redact(reason)
        self._apply(reason)
        self.observe(SourcePaused(reason))
        self.wake()
        try:
            await self.store.pause_source(reason)
            self._is_shared = True
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
        """End the pause for every process that has not found the fault by itself. Raises `StoreUnavailable`."""
        await self.store.end_lease(SOURCE_LEASE, self._token)
        self._decided_at = trio.current_time()
        self._is_shared = self._found_here = False
        self._apply(None)
        self.observe(SourceResumed())
        self.wake()

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long, or until something has changed since the last call."""
        with trio.move_on_after(seconds):
            await self._changed.wait()
            self._changed = trio.Event()
