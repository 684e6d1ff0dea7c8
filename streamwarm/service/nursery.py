"""The service: one nursery that owns every task of the process.

    push ──► accept ──► backlog ──► dispatch ──memory channel──► 5 × stream ──► settle ──► events, metrics

What is opened first is closed last: the store and the pools, then the listeners, then the workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import trio
from attrs import define, field

from streamwarm.accept.intake import Intake
from streamwarm.backlog.probe import Probe
from streamwarm.backlog.rescuer import prune_interval_s, run_rescuer
from streamwarm.backlog.store import Store
from streamwarm.backlog.store_watch import StoreWatch
from streamwarm.compare.checker import Checker
from streamwarm.dispatch.clock import SteadyClock
from streamwarm.dispatch.dispatcher import Dispatcher
from streamwarm.dispatch.lane_judge import LaneJudge
from streamwarm.dispatch.limits import Limits
from streamwarm.dispatch.limits_follower import LimitsFollower
from streamwarm.dispatch.ready_queue import ReadyQueue
from streamwarm.dispatch.recall import recall_lanes
from streamwarm.dispatch.source_guard import SourceGuard
from streamwarm.errors import ErrorCode
from streamwarm.model import Claim, Event, State
from streamwarm.redact import Redactor, make_redactor
from streamwarm.send.destination import rates_of
from streamwarm.service.accounts import adopt_records
from streamwarm.service.checking import make_checker, make_refresher
from streamwarm.service.listeners import ListenerTools, listening
from streamwarm.service.machine import Machine
from streamwarm.service.members import ALONE, NOT_REPORTED, UNREPORTED_MAX, Members, Membership
from streamwarm.service.open import OpenStore, Remotes, open_remotes, open_store
from streamwarm.service.ready_file import Endpoints, drop_stale_ready_file, ready_file
from streamwarm.service.reports import keep_reporting, sum_up
from streamwarm.service.shutdown import Shutdown
from streamwarm.service.stats import Stats
from streamwarm.service.sweep import sweep_destinations
from streamwarm.settings.accounts import accounts_of
from streamwarm.settings.schema import Settings, check_together
from streamwarm.settings.secrets import secrets_in_settings
from streamwarm.settle.completer import Completer, open_completer
from streamwarm.settle.publisher import Publisher
from streamwarm.stream.running import Running
from streamwarm.stream.worker import WorkerTools, run_worker
from streamwarm.watch.history import History
from streamwarm.watch.metrics import Metrics
from streamwarm.watch.observations import Lifecycle, Observation, Observer, WorkersStarted


@define
class _Service:
    """All parts of the service and how they call each other. `run_service` starts their tasks."""

    settings: Settings
    machine: Machine
    store: Store
    remotes: Remotes
    metrics: Metrics
    history: History
    observe: Observer
    shutdown: Shutdown
    membership: Membership
    redact: Redactor = field(init=False)
    running: Running = field(factory=Running)
    members: Members = field(init=False)
    limits: Limits = field(init=False)
    worker_claims: trio.MemoryReceiveChannel[Claim] = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    source_guard: SourceGuard = field(init=False)
    follower: LimitsFollower = field(init=False)
    lane_judge: LaneJudge = field(init=False)
    publisher: Publisher = field(init=False)
    stats: Stats = field(init=False)
    checker: Checker = field(init=False)
    intake: Intake = field(init=False)

    def __attrs_post_init__(self) -> None:
        queue = self.settings.queue
        self.redact = make_redactor(secrets_in_settings(self.settings))
        self.members = Members(self.membership.role, self.running, queue.workers)
        claims, self.worker_claims = trio.open_memory_channel[Claim](0)
        ready = ReadyQueue(queue.max_queue, queue.max_wait_s)
        self.limits = Limits({name: rates_of(destination) for name, destination in self.remotes.destinations.items()})
        steady_now = SteadyClock(self.store.now, self.machine.monotonic)
        source, now = self.remotes.source, self.store.now
        self.dispatcher = Dispatcher(
            self.store, ready, self.limits, claims, now, steady_now, self.observe, source.is_cached, source.cached
        )
        new_token, wake = self.machine.new_token, self.dispatcher.wake
        self.lane_judge = LaneJudge(self.store, self.limits, now, steady_now, queue.max_attempts, wake, self.observe)
        self.source_guard = SourceGuard(self.store, self.limits, source, new_token, wake, self.observe, self.redact)
        of, follow = self.membership.role.of, self.source_guard.follow
        self.follower = LimitsFollower(self.store, self.limits, of, now, steady_now, wake, self.observe, follow)
        self.publisher = Publisher(self.store, lambda: self.members.progress, self.observe, self._on_events)
        self.stats = self._make_stats(steady_now)
        self.checker = make_checker(
            self.settings, self.machine, self.store, source, self.source_guard, self.dispatcher, self.observe
        )
        self.intake = Intake(
            self.store,
            self.remotes.destinations,
            max_pending=queue.max_pending,
            stats=self.stats.read,
            observe=self.observe,
            on_pushed=self.dispatcher.offer,
            on_retried=self.dispatcher.wake,
            on_cancelled=self.running.cancel,
            on_pauses=self.follower.refresh_everywhere,
            now=self.store.now,
            on_to_check=self.checker.offer,
            on_found=self.checker.found,
            accounts=accounts_of(self.settings.destinations),
            redact=self.redact,
            refresh=make_refresher(self.settings, self.machine, self.store, self.remotes.source, self.checker).refresh,
        )

    def _make_stats(self, steady_now: Callable[[], float]) -> Stats:
        return Stats(
            store=self.store,
            probe=Probe(self.store),
            members=self.members,
            limits=self.limits,
            bucket=self.settings.r2.bucket or "",
            destinations={name: settings.type for name, settings in self.settings.destinations.items()},
            accounts=accounts_of(self.settings.destinations),
            pool=self.remotes.pool_stats,
            cache=self.remotes.cache_stats,
            is_claiming=lambda: self.dispatcher.claiming,
            metrics=self.metrics,
            history=self.history,
            now=self.store.now,
            steady_now=steady_now,
        )

    def _on_events(self, events: list[Event]) -> None:
        """React to what any process of this store committed: a job queued or cancelled, or a cooldown after a 429."""
        for event in events:
            if event.state is State.QUEUED:
                self.dispatcher.note_queued(event.id)
            elif event.state is State.CANCELLED:
                self.running.cancel(event.id, event.at)
            elif event.error is not None and event.error.code is ErrorCode.RATE_LIMITED:
                self.follower.refresh_soon()


async def run_service(
    settings: Settings,
    shutdown: Shutdown,
    observe: Observer,
    machine: Machine,
    *,
    membership: Membership = ALONE,
    make_history: Callable[[float], History] = History,
    open_store: OpenStore = open_store,
    task_status: trio.TaskStatus[Endpoints] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown`, and report the endpoints through `task_status` once clients can connect.

    `membership`: which of several processes this is. `make_history` makes the memory of the last hour, given the start
    (Unix seconds). Raises `SettingsError` and, at the start, `StoreUnavailable`.
    """
    check_together(settings)
    role, metrics, history = membership.role, Metrics(), make_history(machine.now())
    unreported, store_watch = deque[Observation](maxlen=UNREPORTED_MAX), StoreWatch()

    def observe_all(observation: Observation) -> None:
        observe(observation)
        store_watch.note(observation)
        metrics.observe(observation)
        history.observe(observation, machine.now())
        if not role.serves and not isinstance(observation, NOT_REPORTED):
            unreported.append(observation)

    async with (
        open_store(settings, machine, alone=membership is ALONE, process=role.number, observe=observe_all) as store,
        open_remotes(settings, machine, observe_all) as remotes,
        trio.open_nursery() as plumbing,
    ):
        drop_stale_ready_file(settings.serve.ready_file)
        service = _Service(settings, machine, store, remotes, metrics, history, observe_all, shutdown, membership)
        listener_tools = ListenerTools(
            settings, machine.listen, machine.now, role, service.intake, service.publisher, service.stats, observe_all
        )
        await _start_plumbing(service, plumbing)
        plumbing.start_soon(store_watch.run, store, observe_all)
        _exchange_reports(service, plumbing, unreported)
        async with listening(listener_tools) as endpoints:
            await _work(service, plumbing, endpoints, task_status)
        plumbing.cancel_scope.cancel()
    observe_all(Lifecycle("stopped"))


async def _start_plumbing(service: _Service, plumbing: trio.Nursery) -> None:
    """Start the tasks that publish events, follow limits, retry, rescue, prune, renew leases and sweep."""
    store, observe, queue = service.store, service.observe, service.settings.queue
    await adopt_records(store, accounts_of(service.settings.destinations), observe)
    await store.reset_deadlines()  # the clock may have been set back while the service was down
    await plumbing.start(service.publisher.run)
    await plumbing.start(service.follower.follow)
    await recall_lanes(store, service.limits)
    plumbing.start_soon(service.source_guard.run)
    plumbing.start_soon(service.checker.run)
    plumbing.start_soon(service.stats.probe.run)
    plumbing.start_soon(service.stats.keep_history)
    await plumbing.start(
        partial(
            run_rescuer,
            store,
            now=store.now,
            random=service.machine.random,
            observe=observe,
            prune_every_s=prune_interval_s(min(queue.keep_done_s, queue.keep_failed_s)),
            lease_s=queue.lease_s,
            surveys=service.membership.role.serves,
            on_queued=service.dispatcher.wake,
            before_rescue=partial(service.running.renew, store),
        )
    )
    plumbing.start_soon(sweep_destinations, service.remotes.destinations, store, observe)
    every_s = queue.lease_s / 3  # two renewals may fail before a lease is lost
    plumbing.start_soon(partial(service.running.renew_leases, store, every_s=every_s, observe=observe))


def _exchange_reports(service: _Service, plumbing: trio.Nursery, unreported: deque[Observation]) -> None:
    """Start what sums up the other members' reports (in member 1), or what reports to member 1."""
    membership = service.membership

    def observe(observation: Observation) -> None:
        service.metrics.observe(observation)
        service.history.observe(observation, service.machine.now())

    if membership.role.serves and membership.reports is not None:
        plumbing.start_soon(sum_up, membership.reports, service.members, observe)
    elif not membership.role.serves and membership.report is not None:
        number = membership.role.number
        plumbing.start_soon(keep_reporting, number, membership.report, unreported, service.running, service.remotes)


async def _work(
    service: _Service, plumbing: trio.Nursery, endpoints: Endpoints, task_status: trio.TaskStatus[Endpoints]
) -> None:
    """Run the dispatcher and the workers until a shutdown is requested; running transfers then have `drain_s`."""
    settings, shutdown, dispatcher = service.settings, service.shutdown, service.dispatcher
    async with (
        open_completer(service.store, now=service.store.now, observe=service.observe) as completer,
        trio.open_nursery() as work,
    ):
        tools = _worker_tools(service, completer)
        for number in range(1, settings.queue.workers + 1):
            work.start_soon(run_worker, number, service.worker_claims.clone(), tools)
        service.worker_claims.close()
        work.start_soon(dispatcher.run)
        plumbing.start_soon(shutdown.cancel_if_forced, work.cancel_scope)
        service.observe(WorkersStarted(settings.queue.workers, settings.queue.max_queue))
        service.metrics.observe(WorkersStarted(service.members.size, settings.queue.max_queue))
        with ready_file(settings.serve.ready_file, endpoints):
            where = f"{endpoints.websocket} {endpoints.http}" if service.membership.role.serves else "work only"
            service.observe(Lifecycle("serving", where))
            task_status.started(endpoints)
            await shutdown.requested.wait()
        drain_s = settings.serve.drain_s
        service.observe(Lifecycle("draining", f"{service.running.busy} transfers, at most {drain_s:g} s"))
        service.intake.drain(drain_s)
        dispatcher.stop()
        work.cancel_scope.deadline = trio.current_time() + drain_s


def _worker_tools(service: _Service, completer: Completer) -> WorkerTools:
    return WorkerTools(
        source=service.remotes.source,
        destinations=service.remotes.destinations,
        running=service.running,
        finish=completer.finish,
        pause=service.dispatcher.pause,
        weigh=service.lane_judge.weigh,
        took=service.lane_judge.took,
        is_of_the_bucket=service.source_guard.is_of_the_bucket,
        depart=service.dispatcher.depart,
        note_departure=service.store.note_departure,
        ended=service.dispatcher.ended,
        move_lane=service.dispatcher.move_lane,
        idle=service.dispatcher.idle,
        observe=service.observe,
        now=service.store.now,
        random=service.machine.random,
        redact=service.redact,
        max_attempts=service.settings.queue.max_attempts,
        body_timeout_s=service.settings.pool.body_timeout_s,
    )
