"""Pauses the bucket for every process while it cannot be read, and probes it until it can.

One fact about a bucket must not cost a thousand jobs their attempts. So before an attempt is charged for trouble that
may be the bucket's (an outage, a rotated key, a wrong clock), the bucket itself is probed. If the probe fails too, the
source is paused: no job that needs the bucket is handed out, and no attempt is used. Objects in the cache are still
sent. `source_health.py` decides; this module asks the bucket and the store.

The pause is stored, so it reaches every process of the store and outlives a restart. One process at a time holds the
lease to probe the bucket; the probe that succeeds ends the pause. A user who resumes the service has it probed at once.

The fault may be of one host alone: its clock, its key, its network. So another process takes the lease for the next
probe if there is one. And a process whose own probe has failed goes on only when its own probe succeeds, though another
process has ended the pause.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio
from attrs import define, field

from streamwarm.backlog.shared_limits import SOURCE_LEASE, SharedLimits, SourcePause
from streamwarm.backlog.store import Filter, Store
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.pauses import Pause, PausedBy
from streamwarm.dispatch.source_health import Denied, Event, Health, Probed, Read, Saved, Verdict, after
from streamwarm.errors import Blame, ErrorCode, SourceError, StoreUnavailable
from streamwarm.fetch.source import Source
from streamwarm.model import State
from streamwarm.watch.observations import Observer, SourcePaused, SourceResumed, StoreTrouble

PROBE_WITHIN_S = 25.0
"""How long a probe may take, in seconds: enough for each of its requests (`fetch.probe.STEP_S`)."""

CHOICE_WITHIN_S = 3.0
"""How long the store may take, in seconds, to name objects to probe with. The probe can do without them."""

LEASE_S = 30.0
"""How long the lease is held for one probe, in seconds: longer than both together. If its holder dies, another process
takes it after that."""

PROBED_JOBS = 2
"""How many queued jobs' objects a probe may ask for if no object is known to be readable."""


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
    health: Health = field(factory=Health)
    _token: str = field(init=False)
    _probing: trio.Lock = field(factory=trio.Lock)
    _changed: trio.Event = field(factory=trio.Event)
    _asked_after: int | None = None  # the `seq` after which the next probe chooses jobs

    @_token.default
    def _new_token(self) -> str:
        return self.new_token()

    async def is_of_the_bucket(self, error: SourceError) -> bool:
        """Whether this error is the bucket's fault and not the object's. If so, the source is paused on return.

        One probe answers for every error that was raised before it began.
        """
        failed_at = trio.current_time()
        while (verdict := self.health.verdict(error.blame, failed_at)) is Verdict.PROBE:
            async with self._probing:
                if self.health.verdict(error.blame, failed_at) is Verdict.PROBE:
                    self._note(await self._probe(error))
                    if self.health.is_unsaved:
                        await self._save()
        return verdict is Verdict.RELEASE

    def follow(self, shared: SharedLimits, read_at: float) -> bool:
        """Apply what the store held when a read of it began (trio's time). Returns True if that began or ended a pause.

        A read that began before this process's own change is older than that, and is not applied.
        """
        return self._note(Read(read_at, trio.current_time(), shared.source, shared.service_resumes))

    async def run(self) -> None:
        """While the source is paused, probe it when that is due and this process may. Runs until cancelled."""
        while True:
            try:
                if self.health.probe_in_s(trio.current_time()) <= 0:
                    await self._probe_if_allowed()
            except StoreUnavailable as exc:
                self.observe(StoreTrouble("probing a paused bucket", str(exc)))
                self._note(Denied(trio.current_time()))
            await self._sleep(self.health.probe_in_s(trio.current_time()))

    async def _probe_if_allowed(self) -> None:
        """Probe as the holder of the lease, or for this process alone if no other one is paused.

        Raises `StoreUnavailable`.
        """
        if self.health.is_unsaved:
            await self._save()
        if self.health.is_shared and not await self._take_lease(LEASE_S, force=self.health.is_forced):
            self._note(Denied(trio.current_time()))
            return
        async with self._probing:
            probed = await self._probe(None)
            if probed.found is None and self.health.pause is not None:
                await self.store.end_lease(SOURCE_LEASE, self._token)
            self._note(probed)
        if self.health.is_shared:
            await self._take_lease(self.health.lease_s)

    async def _probe(self, error: SourceError | None) -> Probed:
        """Probe the bucket. If it cannot be read and `error` blames it, `error` says why: it came first."""
        began_at, resumes = trio.current_time(), self.health.resumes
        failed = await self._why_not()
        if failed is None:
            return Probed(began_at, trio.current_time(), resumes=resumes)
        reason = error.message if error is not None and error.blame is Blame.BUCKET else failed.message
        return Probed(
            began_at,
            trio.current_time(),
            found=SourcePause(self.redact(reason), self.store.now()),
            refused=not failed.passing,
            resumes=resumes,
            has_peers=self.limits.processes > 1,
        )

    async def _why_not(self) -> SourceError | None:
        """Why the bucket cannot be read, or None if it can."""
        warmed, queued = await self._objects_to_ask_for()
        try:
            with trio.fail_after(PROBE_WITHIN_S):
                await self.source.probe(warmed=warmed, queued=queued)
        except trio.TooSlowError:
            return SourceError(ErrorCode.TIMEOUT, f"the bucket did not answer within {PROBE_WITHIN_S:g} s")
        except SourceError as error:
            return error
        return None

    async def _objects_to_ask_for(self) -> tuple[list[str], list[str]]:
        """Return the key of an object that was warmed, and the keys of queued jobs, other ones at each call.

        One job's object may be missing or denied. It must not decide about the bucket for all the others.
        """
        with trio.move_on_after(CHOICE_WITHIN_S):
            try:
                done = await self.store.list_jobs(Filter(State.DONE), limit=1)
                queued = await self.store.list_jobs(Filter(State.QUEUED), limit=PROBED_JOBS, after=self._asked_after)
            except StoreUnavailable:
                return [], []
            self._asked_after = queued.next
            return [job.r2_key for job in done.jobs], [job.r2_key for job in queued.jobs]
        return [], []

    async def _save(self) -> None:
        """Store the pause that began here. If the store is not available, that is tried again with the next probe."""
        pause, done = self.health.pause, False
        try:
            if pause is not None:
                await self.store.pause_source(pause.reason)
                done = True
                await self._take_lease(self.health.lease_s)
        except StoreUnavailable as exc:
            self.observe(StoreTrouble("pausing the bucket", str(exc)))
        finally:
            self._note(Saved(trio.current_time(), done))

    async def _take_lease(self, lease_s: float, *, force: bool = False) -> bool:
        return await self.store.take_lease(SOURCE_LEASE, self._token, lease_s=lease_s, force=force)

    def _note(self, event: Event) -> bool:
        """Take the event into account. Returns True if a pause has begun or ended in this process."""
        before, self.health = self.health.pause, after(self.health, event)
        now = self.health.pause
        self._changed.set()
        if (before is None) == (now is None):
            return False
        self.limits.source_pause = None if now is None else Pause(None, now.reason, by=PausedBy.SOURCE, since=now.since)
        self.source.set_offline(now is not None)
        self.observe(SourceResumed() if now is None else SourcePaused(now.reason))
        self.wake()
        return True

    async def _sleep(self, seconds: float) -> None:
        """Sleep so long (`inf`: without an end), or until something has changed since the last call."""
        with trio.CancelScope(deadline=trio.current_time() + seconds if seconds < math.inf else math.inf):
            await self._changed.wait()
        self._changed = trio.Event()
