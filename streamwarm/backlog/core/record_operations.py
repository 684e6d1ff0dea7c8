"""What a store does with records inside one transaction: write what attempts made, report, forget; see `importing` too.

`accounts` maps a destination to the account that its settings name now. Records of another account are kept, and do not
answer: its references work for that account alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import evolve

from streamwarm.backlog.core.refresh import Known, placed, restored
from streamwarm.backlog.core.stored_record import StoredRecord, rewritten
from streamwarm.backlog.core.tables import MediaTable, Tables
from streamwarm.backlog.core.transitions import StoredJob, arrived, event_of, is_outdated
from streamwarm.backlog.records import Reported
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.shared_limits import EVERY_LANE, SetAside
from streamwarm.model import Job, Kind, MediaKey, NewJob, State
from streamwarm.warm_record import DigestName, RecordName, WarmRecord, bare_etag

Accounts = Mapping[str, str]

MOST_ACCOUNTS = 10
"""How many accounts of a destination are named: nobody changes a bot more often and keeps the records."""

REPORT_EVERY_S = 3_600.0
"""How often a name is warmed anew because its reference was reported invalid, in seconds: once an hour (contract)."""

SUSPECTS_WITHIN_S = 600.0
MOST_SUSPECTS = 20
MOST_SUSPECTS_SHARE = 0.05
"""A destination of which more than 20 references, and more than 5 % of all, were reported within ten minutes is paused:
the trouble is the account's, or the reporter's, and not that of the references (records.md, `invalid`)."""

SUSPECTS_PAUSE_S = 3_600.0
"""How long it is paused then, in seconds, unless a user resumes it."""


def name_of(accounts: Accounts, destination: str, kind: Kind, r2_key: str) -> RecordName:
    return RecordName(destination, accounts.get(destination, ""), kind, r2_key)


def digest_name(accounts: Accounts, destination: str, kind: Kind, sha256: str) -> DigestName:
    return DigestName(destination, accounts.get(destination, ""), kind, sha256)


def known_of(media: MediaTable, accounts: Accounts, jobs: Sequence[NewJob | Job]) -> list[Known]:
    """The records that may answer each of these jobs."""
    names = [name_of(accounts, job.destination, job.kind, job.r2_key) for job in jobs]
    digests = [digest_name(accounts, job.destination, job.kind, job.sha256) if job.sha256 else None for job in jobs]
    by_name = media.by_name(set(names))
    by_digest = media.by_digest({one for one in digests if one is not None})
    return [
        Known(by_name.get(name), None if digest is None else by_digest.get(digest))
        for name, digest in zip(names, digests, strict=True)
    ]


def put_records(media: MediaTable, records: Sequence[WarmRecord], now: float) -> None:
    """Write records that have just been made, in order, after one reading of their names. The caller has locked their
    objects."""
    versions = media.versions({record.name for record in records})
    for record in records:
        known = versions.get(record.name, [])
        put = placed(record, known, now)
        versions[record.name] = rewritten(known, put)
        media.put(put)


def record_of(stored: StoredJob, done: Done, accounts: Accounts, now: float) -> WarmRecord:
    """The record that a successful attempt makes. It counts as not compared (`checked_at` None) if a push that joined
    the job may have meant a newer version than it delivered.

    What a destination fetched by itself has the digest that its job names, if any: `handoff_unverified`, which allows
    that, trusts it.
    """
    job = stored.job
    opened_at, etag = now if done.opened_at is None else min(done.opened_at, now), bare_etag(done.seen.etag)
    return WarmRecord(
        destination=job.destination,
        kind=job.kind,
        r2_key=job.r2_key,
        sha256=done.seen.sha256 or job.sha256,
        bytes=done.seen.bytes,
        result=done.result,
        job_id=job.id,
        warmed_at=now,
        account=accounts.get(job.destination, ""),
        source_etag=etag,
        options=job.options,
        opened_at=opened_at,
        checked_at=None if is_outdated(stored, etag, opened_at) else opened_at,
    )


def queue_checks(tables: Tables, now: float, outdated: Sequence[WarmRecord], ids: Sequence[str]) -> None:
    """Queue a job for each record's object, to be compared first."""
    tables.jobs.lock_media_keys()
    for record, job_id in zip(outdated, ids, strict=True):
        queue_again(tables, now, record, job_id, to_check=True)


def queue_again(
    tables: Tables, now: float, record: WarmRecord, job_id: str, *, to_check: bool = False
) -> tuple[str, StoredJob | None]:
    """Queue a job that warms the record's object anew, by key and with the record's options.

    Returns its id and the job; or the id of the live job that does so already, and None. The caller has called
    `lock_media_keys`.
    """
    key = MediaKey.of(record.destination, record.kind, sha256=None, r2_key=record.r2_key)
    if (owner := tables.jobs.live_ids({key}).get(key)) is not None:
        return str(owner), None
    new = NewJob(record.destination, record.kind, record.r2_key, options=record.options)
    stored = arrived(new, seq=tables.jobs.last_job_seq() + 1, job_id=job_id, now=now, to_check=to_check)
    tables.jobs.insert([stored])
    tables.jobs.append_events([event_of(stored.job)])
    return job_id, stored


def find(
    media: MediaTable, accounts: Accounts, destination: str, kind: Kind, sha256: str | None, r2_key: str | None
) -> WarmRecord | None:
    if sha256 is not None:
        digest = digest_name(accounts, destination, kind, sha256)
        return media.by_digest({digest}).get(digest)
    if r2_key is None:
        raise ValueError("a warm record is looked up by its sha256 or its r2_key; neither was given")
    name = name_of(accounts, destination, kind, r2_key)
    return media.by_name({name}).get(name)


def forget(
    tables: Tables,
    accounts: Accounts,
    destination: str,
    kind: Kind,
    sha256: str | None,
    r2_key: str | None,
    file_id: str | None = None,
) -> bool:
    """Returns False if there was nothing to forget, or if `file_id` is not what is recorded."""
    if sha256 is None and r2_key is None:
        raise ValueError("a warm record is forgotten by its sha256 or its r2_key; neither was given")
    if sha256 is None:
        tables.media.lock({r2_key or ""})
    else:
        alike = tables.media.with_digest(digest_name(accounts, destination, kind, sha256))
        tables.media.lock({stored.record.r2_key for stored in alike})
    gone = _versions(tables.media, accounts, destination, kind, sha256, r2_key)
    if file_id is not None:
        record = find(tables.media, accounts, destination, kind, sha256, r2_key)
        if record is None or record.result.get("file_id") != file_id:
            return False
    tables.media.delete([stored.record for stored in gone])
    return bool(gone)


def _versions(
    media: MediaTable, accounts: Accounts, destination: str, kind: Kind, sha256: str | None, r2_key: str | None
) -> Sequence[StoredRecord]:
    """Every record that a look-up of this digest, or else of this key, means."""
    if sha256 is not None:
        return media.with_digest(digest_name(accounts, destination, kind, sha256))
    name = name_of(accounts, destination, kind, r2_key or "")
    return media.versions({name}).get(name, ())


def report_invalid(
    tables: Tables,
    now: float,
    accounts: Accounts,
    destination: str,
    kind: Kind,
    file_id: str,
    sha256: str | None,
    r2_key: str | None,
    job_id: str,
) -> Reported:
    tables.jobs.lock_media_keys()
    record = find(tables.media, accounts, destination, kind, sha256, r2_key)
    if record is None or record.result.get("file_id") != file_id:
        return Reported(None, record)
    locked = {record.r2_key, *(stored.record.r2_key for stored in _alike(tables.media, record))}
    tables.media.lock(locked)
    # Read again: another host may have changed them before they were locked.
    alike = [stored for stored in _alike(tables.media, record) if stored.record.r2_key in locked]
    versions = tables.media.versions({record.name}).get(record.name, ())
    reported_at = max((s.reported_at for s in versions if s.reported_at is not None), default=None)
    if reported_at is not None and 0 <= now - reported_at < REPORT_EVERY_S:
        return Reported(None, record)
    queued_id, queued = queue_again(tables, now, record, job_id)
    suspect = [s for s in versions if s.record.version == record.version]
    others = [s for s in versions if s.record.version != record.version]
    tables.media.put(
        [evolve(s, reported_at=now) for s in others] + [evolve(s, suspect_at=now, reported_at=now) for s in suspect]
    )
    for number, stored in enumerate(one for one in alike if one.answers_by_key):
        queue_again(tables, now, stored.record, f"{job_id}-{number}")
    tables.media.put([evolve(stored, suspect_at=now) for stored in alike])
    reason = _restore_if_many(tables, now, destination, accounts.get(destination, ""))
    found = find(tables.media, accounts, destination, kind, sha256, r2_key)
    return Reported(queued_id, found, None if queued is None else queued.as_queued, reason)


def _alike(media: MediaTable, record: WarmRecord) -> list[StoredRecord]:
    """The records of other names with the same reference: pushes by digest named the same bytes otherwise."""
    if record.sha256 is None:
        return []
    found = media.with_digest(DigestName(record.destination, record.account, record.kind, record.sha256))
    return [
        stored
        for stored in found
        if stored.suspect_at is None
        and stored.record.name != record.name
        and stored.record.result.get("file_id") == record.result.get("file_id")
    ]


def _restore_if_many(tables: Tables, now: float, destination: str, account: str) -> str | None:
    """If too many references of a destination were reported, pause it, and answer them again. Returns the reason."""
    since = now - SUSPECTS_WITHIN_S
    reported = {stored.record.name for stored in tables.media.reported(destination, account, since)}
    answering = sum(count for (name, _), count in tables.media.counts().items() if name == destination)
    if len(reported) <= max(MOST_SUSPECTS, MOST_SUSPECTS_SHARE * (answering + len(reported))):
        return None
    tables.media.lock({name.r2_key for name in reported})
    for versions in tables.media.versions(reported).values():
        tables.media.put(restored(versions))
    reason = (
        f"{len(reported)} of its references were reported invalid within {SUSPECTS_WITHIN_S / 60:.0f} minutes, so the "
        "trouble is not theirs; check that the senders use this bot's own token, then resume the destination"
    )
    tables.shared.put_set_aside(
        SetAside(destination, EVERY_LANE, None, now + SUSPECTS_PAUSE_S, set_at=now, room=None, reason=reason)
    )
    return reason


def accounts_with_records(media: MediaTable, destination: str) -> list[str]:
    """The first `MOST_ACCOUNTS` accounts, in order, that have records at the destination."""
    found: list[str] = []
    while (
        len(found) < MOST_ACCOUNTS
        and (account := media.next_account(destination, found[-1] if found else "")) is not None
    ):
        found.append(account)
    return found


def delete_records_of(tables: Tables, accounts: Accounts, jobs: Collection[Job]) -> list[Job]:
    """Drop what each of these jobs has recorded, as a user would who forgets the name it was pushed with. Returns the
    jobs that had a record."""
    return [
        job
        for job in jobs
        if forget(tables, accounts, job.destination, job.kind, job.sha256, None if job.sha256 else job.r2_key)
    ]


def is_warm_since(known: Known, stored: StoredJob) -> bool:
    """Whether a record answers this ended job that is at least as new as its last attempt. A failed re-warm can be
    retried though its key is warm."""
    job = stored.job
    record = known.by_key if job.sha256 is None else known.by_digest
    return record is not None and record.warmed_at >= job.updated_at and job.state is not State.DONE
