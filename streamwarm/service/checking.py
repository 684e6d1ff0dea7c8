"""Makes what compares records with the bucket, of what the service has opened."""

from __future__ import annotations

from streamwarm.backlog.store import Store
from streamwarm.compare.asking import Bucket
from streamwarm.compare.checker import Checker, most_at_once
from streamwarm.compare.refresh import Refresher
from streamwarm.dispatch.dispatcher import Dispatcher
from streamwarm.dispatch.source_guard import SourceGuard
from streamwarm.fetch.source import Source
from streamwarm.service.machine import Machine
from streamwarm.settings.accounts import accounts_of
from streamwarm.settings.schema import Settings
from streamwarm.watch.observations import Observer


def make_checker(
    settings: Settings,
    machine: Machine,
    store: Store,
    source: Source,
    guard: SourceGuard,
    dispatcher: Dispatcher,
    observe: Observer,
) -> Checker:
    return Checker(
        store,
        Bucket(source, guard.is_of_the_bucket, store.now, machine.random, observe),
        at_once=most_at_once(settings.pool.connections, settings.queue.workers),
        trust_s=settings.records.trust_s,
        revalidates=settings.records.revalidate,
        now=store.now,
        expect=dispatcher.expect,
        release=dispatcher.release,
        observe=observe,
    )


def make_refresher(settings: Settings, machine: Machine, store: Store, source: Source, checker: Checker) -> Refresher:
    return Refresher(
        store,
        source.list_objects,
        accounts_of(settings.destinations),
        settings.queue.max_pending,
        checker.report,
        store.now,
        machine.run_sync,
    )
