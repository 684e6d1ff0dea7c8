"""Applies comparisons to records and to the jobs that wait for them, inside one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from attrs import define, field

from streamwarm.backlog.core.operations import apply
from streamwarm.backlog.core.record_operations import Accounts, name_of, queue_again
from streamwarm.backlog.core.refresh import Judgement, judge
from streamwarm.backlog.core.stored_record import StoredRecord, rewritten
from streamwarm.backlog.core.tables import Tables
from streamwarm.backlog.core.transitions import StoredJob, compared, is_outdated, missing
from streamwarm.backlog.records import Compared, Comparison
from streamwarm.errors import ErrorCode, JobError
from streamwarm.model import Job, Kind, QueuedJob, RecordName, SourceState, WarmRecord

UNCHANGED, UNVERIFIED = "unchanged", "unverified"
"""The `source` of a result that no upload made: the object is as recorded, or the bucket did not say."""


@define
class _Effects:
    """What the comparisons of one transaction do."""

    unmoved: list[StoredRecord] = field(factory=list)
    moved: list[StoredJob] = field(factory=list)
    released: list[StoredJob] = field(factory=list)
    queued: list[QueuedJob] = field(factory=list)
    unchanged: Counter[tuple[str, Kind]] = field(factory=Counter)
    missing: list[Job] = field(factory=list)
    again: dict[str, None] = field(factory=dict)
    states: Counter[SourceState] = field(factory=Counter)
    outdated: list[WarmRecord] = field(factory=list)


def compare(
    tables: Tables, now: float, accounts: Accounts, comparisons: Sequence[Comparison], ids: Iterator[str]
) -> tuple[Compared, list[WarmRecord]]:
    """Returns what has changed, and the records whose objects need another comparison: a push has joined a job after
    the bucket was asked for it. `ids` gives the ids of jobs that are queued here, at most one for each `rewarm`."""
    keys = {one.r2_key for one in comparisons}
    tables.jobs.lock_media_keys()
    tables.media.lock(keys)
    objects: dict[str, dict[RecordName, list[StoredRecord]]] = defaultdict(lambda: defaultdict(list))
    for stored in tables.media.of_objects(keys):
        objects[stored.record.r2_key][stored.record.name].append(stored)
    waiting: dict[str, list[StoredJob]] = defaultdict(list)
    for job in tables.jobs.lock_to_check(keys):
        waiting[job.job.r2_key].append(job)
    effects = _Effects()
    for one in comparisons:
        versions = objects[one.r2_key]
        judged = {name: judge(rows, one, now) for name, rows in versions.items()}
        for name, judgement in judged.items():
            _write(tables, judgement, effects)
            versions[name] = rewritten(versions[name], judgement.put, judgement.deleted)
        for waits in waiting.pop(one.r2_key, ()):
            if waits.means_later_than(one.asked_at, now):
                effects.again[one.r2_key] = None
                continue
            name = name_of(accounts, waits.job.destination, waits.job.kind, one.r2_key)
            _answer(waits, judged.get(name, Judgement()), one.asked_at, now, effects)
        _rewarm(tables, now, accounts, one, judged, ids, effects)
    tables.media.note_compared(effects.unmoved)
    tables.jobs.update(effects.released)
    apply(tables, effects.moved)
    effects.queued += [stored.as_queued for stored in effects.released]
    done = Compared(
        queued=effects.queued,
        unchanged=effects.unchanged,
        missing=effects.missing,
        again=list(effects.again),
        changed=effects.states[SourceState.CHANGED],
        gone=effects.states[SourceState.GONE],
    )
    return done, effects.outdated


def _write(tables: Tables, judgement: Judgement, effects: _Effects) -> None:
    if judgement.is_unmoved:
        effects.unmoved += judgement.put
        return
    tables.media.delete(judgement.deleted)
    tables.media.put(judgement.put)
    if judgement.put and judgement.state is not None:
        effects.states[judgement.state] += 1


def _answer(waits: StoredJob, judgement: Judgement, asked_at: float, now: float, effects: _Effects) -> None:
    """Decide what becomes of a job that waited for the comparison."""
    job, record = waits.job, judgement.record
    is_other = record is not None and None not in {job.sha256, record.sha256} and job.sha256 != record.sha256
    if record is None or is_other or judgement.state is SourceState.CHANGED:
        effects.released.append(compared(waits, now, result=None))
        return
    if judgement.state is not None and is_outdated(waits, record.source_etag, asked_at):
        effects.outdated.append(record)
    if judgement.state is SourceState.GONE:
        failed = missing(waits, now, _not_found(job.r2_key))
        effects.moved.append(failed)
        effects.missing.append(failed.job)
    else:
        source = UNVERIFIED if judgement.state is None else UNCHANGED
        effects.moved.append(compared(waits, now, result={**record.answer, "source": source}))
        effects.unchanged[job.destination, job.kind] += 1


def _rewarm(
    tables: Tables,
    now: float,
    accounts: Accounts,
    comparison: Comparison,
    judged: Mapping[RecordName, Judgement],
    ids: Iterator[str],
    effects: _Effects,
) -> None:
    for destination, kind in comparison.rewarm:
        job_id = next(ids)
        judgement = judged.get(name_of(accounts, destination, kind, comparison.r2_key), Judgement())
        if judgement.record is not None and judgement.state is SourceState.CHANGED:
            _, stored = queue_again(tables, now, judgement.record, job_id)
            if stored is not None:
                effects.queued.append(stored.as_queued)


def _not_found(r2_key: str) -> JobError:
    message = f"the bucket has no object {r2_key!a} any more; its record is kept, and marked gone"
    return JobError(ErrorCode.SOURCE_NOT_FOUND, message, permanent=True)
