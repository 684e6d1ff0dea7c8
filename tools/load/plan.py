"""Which jobs a run pushes, when, and how each must end. Pure, and the same for the same options."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from load.content import LoadObject, make_objects
from load.options import Options

MAX_FAULTS = 1000
"""As many as the emulator lets wait."""

RETRIED_FAULTS: dict[str, dict[str, Any]] = {
    "close_upload": {"at_byte": 10_000},
    "stall_upload": {"at_byte": 5_000, "seconds": 0.5},
    "rate_limited": {"retry_after": 1},
    "refused": {"status": 500, "description": "Internal Server Error"},
    "raw_answer": {"status": 502, "body": "<html>Bad Gateway</html>"},
    "cut_answer": {},
    "no_answer": {},
    "slow_answer": {"seconds": 0.5},
    "close_after_answer": {},
}
"""Faults that a job survives, as the emulator takes them, with their details."""

FATAL_FAULTS: dict[str, dict[str, Any]] = {
    "refused_for_good": {"fault": "refused", "status": 400, "description": "Bad Request: IMAGE_PROCESS_FAILED"}
}
"""Faults that end a job as failed: a run with one of these must exit 1, which is how a run is tested."""


@frozen
class PlannedJob:
    """One push. `at_s` is its intended arrival from the run's start, None in a closed loop. `expect` is `done`, or the
    code of the error it must fail with."""

    number: int
    client: int
    destination: str
    kind: str
    r2_key: str
    bytes: int
    sha256: str | None
    expect: str
    delivered_sha256: str
    at_s: float | None = None
    refresh: str | None = None

    def as_job(self) -> dict[str, Any]:
        """As it is pushed."""
        job = {"destination": self.destination, "kind": self.kind, "r2_key": self.r2_key, "bytes": self.bytes}
        given = {"sha256": self.sha256, "refresh": self.refresh}
        return {**job, **{name: value for name, value in given.items() if value is not None}}


@frozen
class Plan:
    """`objects` must be in the bucket before the first push; `faults` in the emulator."""

    objects: Sequence[LoadObject]
    jobs: Sequence[PlannedJob]
    faults: Sequence[dict[str, Any]]


def make_plan(options: Options, destinations: Sequence[str], *, salt: int, prefix: str) -> Plan:
    """`salt` and `prefix` are one run's own, so that nothing is warm from an earlier one."""
    chance = random.Random(options.seed)
    bad = round(options.jobs * options.bad)
    good = options.jobs - bad
    distinct = max(1, good - round(good * options.repeats)) if good else 0
    objects = make_objects(
        distinct + (bad + 1) // 2, options.mix, size_scale=options.size_scale, salt=salt, prefix=prefix
    )
    digests = [made.sha256() for made in objects]
    jobs = _good_jobs(good, list(zip(objects, digests, strict=True))[:distinct], destinations, chance)
    jobs += _bad_jobs(bad, list(zip(objects, digests, strict=True))[distinct:], destinations, prefix)
    chance.shuffle(jobs)
    arrivals = _arrivals(options, random.Random(options.seed + 1))
    planned = [
        PlannedJob(number=number, client=number % options.clients, at_s=arrivals[number], **job)
        for number, job in enumerate(jobs)
    ]
    return Plan(objects, planned, plan_faults(options, random.Random(options.seed + 2)))


def _good_jobs(
    count: int, objects: list[tuple[LoadObject, str]], destinations: Sequence[str], chance: random.Random
) -> list[dict[str, Any]]:
    """Every object once, then some of them again: to the next destination, or where there is but one, to the same."""
    jobs = []
    for number in range(count):
        index = number if number < len(objects) else chance.randrange(len(objects))
        made, digest = objects[index]
        where = (index + (0 if number < len(objects) else 1)) % len(destinations)
        jobs.append(
            {
                "destination": destinations[where],
                "kind": made.kind,
                "r2_key": made.key,
                "bytes": made.size_bytes,
                "sha256": digest if index % 2 == 0 else None,
                "expect": "done",
                "delivered_sha256": digest,
            }
        )
    return jobs


def _bad_jobs(
    count: int, objects: list[tuple[LoadObject, str]], destinations: Sequence[str], prefix: str
) -> list[dict[str, Any]]:
    """By turns: an object whose bytes are not those that the job names, and one that is not there."""
    jobs = []
    for number in range(count):
        about: dict[str, Any] = {"destination": destinations[number % len(destinations)]}
        if number % 2 == 0:
            made, digest = objects[number // 2]
            wrong = f"{int(digest[0], 16) ^ 1:x}{digest[1:]}"
            about |= {"kind": made.kind, "r2_key": made.key, "bytes": made.size_bytes, "sha256": wrong}
            about |= {"expect": "sha256_mismatch", "delivered_sha256": digest}
        else:
            about |= {"kind": "photo", "r2_key": f"{prefix}/missing-{number}.png", "bytes": 1000, "sha256": None}
            about |= {"expect": "source_not_found", "delivered_sha256": ""}
        jobs.append(about)
    return jobs


def _arrivals(options: Options, chance: random.Random) -> list[float | None]:
    if options.rate is None:
        return [None] * options.jobs
    arrivals: list[float | None] = []
    at_s = 0.0
    for _ in range(options.jobs):
        at_s += chance.expovariate(options.rate)
        arrivals.append(at_s)
    return arrivals


def plan_faults(options: Options, chance: random.Random) -> list[dict[str, Any]]:
    """Faults spread over the uploads to come: each passes over a number of them, then strikes once."""
    count = min(MAX_FAULTS, round(options.jobs * options.faults))
    kinds = options.fault_kinds or tuple(RETRIED_FAULTS)
    positions = sorted(chance.randrange(options.jobs) for _ in range(count))
    faults = []
    for skip in positions:
        name = chance.choice(kinds)
        details = {**RETRIED_FAULTS, **FATAL_FAULTS}[name]
        faults.append({"fault": name, "skip": skip, **details})
    return faults
