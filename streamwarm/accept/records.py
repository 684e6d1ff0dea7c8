"""The use cases of warm records, for both interfaces: pages, reports, imports. `verifying.py` asks destinations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from itertools import islice

import trio

from streamwarm.accept.guarded import no_destination, store_guarded
from streamwarm.accept.verifying import Verifier
from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.imports import Importer
from streamwarm.accept.wire.record_requests import ImportRecords, ListRecords, ReportInvalid, VerifyRecords
from streamwarm.accept.wire.sizes import next_text, page_of_records
from streamwarm.accept.wire.views import job_view, record_view
from streamwarm.backlog.records import Reported
from streamwarm.backlog.store import Store
from streamwarm.model import JsonObject, QueuedJob, WarmRecord
from streamwarm.send.destination import Destination
from streamwarm.send.verifying import gives_file_ids
from streamwarm.watch.observations import Observer
from streamwarm.watch.record_news import RecordsImported, ReferenceReported, ReferencesSuspect

_READS = 5
"""Reads of the store for one page. Each looks at a bounded number of rows, so a filter that few records match gives
short pages instead of long waits."""

_CHECKED_AT_ONCE = 20
"""Imported records that are checked without a checkpoint: one takes some 150 µs, most of it to look for secrets."""

_STORED_AT_ONCE = 200
"""Imported records in one transaction: some 50 ms, which the writes of others wait for."""


class RecordIntake:
    """The use cases. Every method raises `CallRefusedError`, or `FieldError` for what only the settings can refuse.

    `accounts` has each destination's account. `on_queued` gets a job that a report queued, after the commit.
    `on_pauses` makes every process read the pauses in the store. `now` is the store's clock (Unix seconds).
    `carries_secret` says whether a text has a secret in it.
    """

    def __init__(
        self,
        store: Store,
        destinations: Mapping[str, Destination],
        accounts: Mapping[str, str],
        observe: Observer,
        on_queued: Callable[[QueuedJob], None],
        on_pauses: Callable[[], Awaitable[None]],
        now: Callable[[], float],
        carries_secret: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._destinations = destinations
        self._accounts = accounts
        self._observe = observe
        self._on_queued = on_queued
        self._on_pauses = on_pauses
        self._now = now
        self._carries_secret = carries_secret
        self._verifier = Verifier(store, destinations, accounts)

    async def page(self, request: ListRecords) -> JsonObject:
        """A page of records. It may have fewer than `limit`, or none, and still a `next`."""
        page, after = page_of_records(request.limit), request.after
        with store_guarded(self._observe, "records"):
            for _ in range(_READS):
                read = await self._store.records(request.which, limit=page.next_read(), after=after)
                page.add(read.records, read.next)
                after = read.next
                if page.is_full:
                    break
        return {"records": page.items, "next": next_text(page.next)}

    async def invalid(self, request: ReportInvalid) -> JsonObject:
        """Have the object warmed anew if `file_id` is still the recorded one. `requeued` is False if it is not, or if
        it was reported already."""
        lookup = request.lookup
        if not gives_file_ids(self._destination(lookup.destination)):
            raise FieldError(
                f"{lookup.destination} gives no file_ids, so none of them can be invalid; push with refresh"
            )
        with store_guarded(self._observe, "invalid"):
            reported = await self._store.report_invalid(
                lookup.destination, lookup.kind, request.file_id, sha256=lookup.sha256, r2_key=lookup.r2_key
            )
            self._announce(request, reported)
            if reported.pause is not None:
                await self._on_pauses()
            job = None if reported.job_id is None else await self._store.get(reported.job_id)
        view: dict[str, object] = {"requeued": reported.job_id is not None}
        if job is not None:
            view["job"] = job_view(job)
        if reported.record is not None:
            view["record"] = record_view(reported.record)
        return view

    async def import_records(self, request: ImportRecords) -> JsonObject:
        """Store the valid records, and say of each other one why it was refused."""
        importer = Importer(self._destinations, self._accounts, self._now(), self._carries_secret)
        read: dict[int, WarmRecord] = {}
        refused: dict[int, str] = {}
        for index, raw in enumerate(request.records):
            if index % _CHECKED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            try:
                read[index] = importer.read(raw)
            except FieldError as error:
                refused[index] = str(error)
        rest = iter(read.items())
        while some := list(islice(rest, _STORED_AT_ONCE)):
            with store_guarded(self._observe, "import"):
                answers = await self._store.import_records([one for _, one in some], replace=request.replace)
            refused |= {index: why for (index, _), why in zip(some, answers, strict=True) if why is not None}
        imported = len(request.records) - len(refused)
        self._observe(RecordsImported(imported, len(refused)))
        listed = [{"index": index, "message": message} for index, message in sorted(refused.items())]
        return {"imported": imported, "refused": listed}

    async def verify(self, request: VerifyRecords) -> JsonObject:
        """Ask the destination for one page of references. See `Verifier`."""
        self._destination(request.destination)
        with store_guarded(self._observe, "verify"):
            return await self._verifier.verify(request)

    def _destination(self, name: str) -> Destination:
        if name not in self._destinations:
            raise no_destination(name, self._destinations)
        return self._destinations[name]

    def _announce(self, request: ReportInvalid, reported: Reported) -> None:
        lookup = request.lookup
        if reported.job_id is not None:
            reference = lookup.r2_key or lookup.sha256 or ""
            self._observe(ReferenceReported(lookup.destination, lookup.kind, reference, request.error, reported.job_id))
        if reported.queued is not None:
            self._on_queued(reported.queued)
        if reported.pause is not None:
            self._observe(ReferencesSuspect(lookup.destination, reported.pause))
