"""One transfer between two real servers: a scripted bucket and the Bot API emulator, each over its own pool."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from attrs import define, evolve, field, frozen

from streamwarm.backlog.settlement import Done, Failed, Retry, Settlement
from streamwarm.backlog.shared_limits import PauseEffect
from streamwarm.errors import DestinationError, JobError, SourceError
from streamwarm.fetch.source import Source
from streamwarm.model import Claim, Job, Kind, Lease, State
from streamwarm.net.backend import Backend
from streamwarm.net.pool import PooledClient, open_client
from streamwarm.sandbox.bot_api import BotApiEmulator, Chat, EmulatorSettings, serve_bot_api
from streamwarm.send.destination import Destination, TakesAttachments
from streamwarm.send.telegram.destination import TelegramDestination
from streamwarm.settings.secret import SecretStr
from streamwarm.settings.telegram import TelegramSettings
from streamwarm.settle.finished import Finished
from streamwarm.stream.attempt import Attempt
from streamwarm.stream.delivery import hand_off_or_transfer
from streamwarm.stream.departure import AwaitTurn, NoteDeparture
from streamwarm.stream.running import Running
from streamwarm.stream.worker import WorkerTools, run_worker
from streamwarm.watch.observations import Observation, Observer, unobserved
from tests.worlds.scripted_bucket import NO_TLS, Rig, Script, rig

TOKEN = "4242:AA-first_bot"
CHAT = -1001
NOW = 1_772_366_405.0
JOB = Job(
    seq=1,
    id="job-1",
    destination="mybot",
    kind=Kind.DOCUMENT,
    r2_key="media/a.mp4",
    sha256=None,
    bytes=None,
    options={},
    state=State.RUNNING,
    attempt=1,
    created_at=NOW,
    updated_at=NOW,
)


def content(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def noted(lease: Lease, *, departed: bool = True) -> bool:
    """The store's `note_departure` where all is well."""
    return True


@frozen
class Worked:
    """What came of a worker's one attempt. `pauses`: the errors that were to pause something."""

    finished: Finished
    pauses: list[DestinationError]

    @property
    def claim(self) -> Claim:
        return self.finished.claim

    @property
    def settlement(self) -> Settlement:
        return self.finished.settlement

    @property
    def error(self) -> JobError | None:
        return self.settlement.error if isinstance(self.settlement, Failed | Retry) else None


@define
class World:
    """`send` makes one attempt; `work` lets a worker make one, with all that a worker adds."""

    bucket_rig: Rig
    emulator: BotApiEmulator
    destination: TelegramDestination
    source_pool: PooledClient
    destination_pool: PooledClient
    body_timeout_s: float
    observed: list[Observation] = field(factory=list)

    async def send(self, job: Job = JOB) -> Done:
        return await hand_off_or_transfer(
            new_attempt(job, self.destination),
            self.bucket_rig.source,
            self.destination,
            body_timeout_s=self.body_timeout_s,
        )

    async def work(
        self,
        job: Job = JOB,
        *,
        stop_when: Callable[[], bool] | None = None,
        note_departure: NoteDeparture = noted,
    ) -> Worked:
        return await work_once(
            job,
            self.bucket_rig.source,
            self.destination,
            observe=self.observed.append,
            body_timeout_s=self.body_timeout_s,
            stop_when=stop_when,
            note_departure=note_departure,
        )

    @property
    def digests(self) -> list[str]:
        """What the destination took, in order."""
        return [delivery.sha256 for delivery in self.emulator.deliveries]


async def depart_at_once(_: object, __: int) -> float:
    return trio.current_time()


def new_attempt(job: Job, destination: Destination, *, depart: AwaitTurn = depart_at_once) -> Attempt:
    """An attempt that may depart whenever it is ready, where all is well with the store."""
    claim = Claim(job, Lease(job.id, "lease-token"))
    attachments = destination.attachments(job) if isinstance(destination, TakesAttachments) else ()
    return Attempt.start(claim, destination, depart=depart, note_departure=noted, attachments=attachments)


async def never(_: SourceError) -> bool:
    """The source guard's `is_of_the_bucket` where the bucket is well."""
    return False


async def unjudged(_: Claim, __: DestinationError) -> None:
    """The lane judge's `weigh` where nobody judges."""


async def _forget_move(_: Claim, __: str) -> None:
    """Nothing is kept here."""


@asynccontextmanager
async def world(
    script: Script,
    *,
    body_timeout_s: float = 10.0,
    answer_timeout_s: float = 10.0,
    backend: Backend | None = None,
    telegram: Mapping[str, Any] | None = None,
    base_url: str | None = None,
    **emulator_settings: Any,
) -> AsyncIterator[World]:
    """Both servers and both pools, gone at the end. `backend` carries the destination's connections; `telegram` are
    settings of its own, `base_url` another Bot API than the emulator."""
    settings = EmulatorSettings([TOKEN], {CHAT: Chat("supergroup")}, **emulator_settings)
    source_pool = open_client(connections=4, ssl_context=NO_TLS)
    async with (
        trio.open_nursery() as nursery,
        rig(script, open_http=lambda: source_pool) as bucket_rig,
        open_client(
            connections=4, ssl_context=NO_TLS, network_backend=backend, body_timeout_s=body_timeout_s
        ) as destination_pool,
    ):
        emulator = await nursery.start(partial(serve_bot_api, settings))
        told = TelegramSettings(
            token=SecretStr(TOKEN), chats=(CHAT,), base_url=base_url or emulator.base_url, **(telegram or {})
        )
        destination = TelegramDestination("mybot", told, destination_pool, make_boundary=partial(secrets.token_hex, 16))
        destination.answer_timeout_s = answer_timeout_s
        yield World(bucket_rig, emulator, destination, source_pool, destination_pool, body_timeout_s)
        nursery.cancel_scope.cancel()


async def work_once(
    job: Job,
    source: Source,
    destination: Destination,
    *,
    body_timeout_s: float,
    observe: Observer = unobserved,
    redact: Callable[[str], str] = str,
    stop_when: Callable[[], bool] | None = None,
    note_departure: NoteDeparture = noted,
    is_of_the_bucket: Callable[[SourceError], Awaitable[bool]] = never,
) -> Worked:
    """A worker's one attempt at the job, cancelled at `stop_when` as a service that stops at once cancels it."""
    finished: list[Finished] = []
    pauses: list[DestinationError] = []

    def pause(_: Claim, error: DestinationError) -> PauseEffect:
        pauses.append(error)
        return PauseEffect(job_waits=True)

    async def finish(one: Finished) -> None:
        finished.append(one)

    claims, worker_claims = trio.open_memory_channel[Claim](1)
    with claims:
        claims.send_nowait(Claim(job, Lease(job.id, "lease-token")))
    tools = WorkerTools(
        source=source,
        destinations={job.destination: destination},
        running=Running(),
        finish=finish,
        pause=pause,
        weigh=unjudged,
        took=lambda _: None,
        depart=depart_at_once,
        is_of_the_bucket=is_of_the_bucket,
        note_departure=note_departure,
        ended=lambda *_: None,
        move_lane=_forget_move,
        idle=lambda: None,
        observe=observe,
        now=lambda: NOW,
        random=lambda: 0.0,
        redact=redact,
        max_attempts=5,
        body_timeout_s=body_timeout_s,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_worker, 1, worker_claims, tools)
        while stop_when and not finished and not stop_when():
            await trio.sleep(0.01)
        if stop_when and not finished:
            nursery.cancel_scope.cancel()
    return Worked(finished[0], pauses)


def job(**changes: Any) -> Job:
    return evolve(JOB, **changes)
