"""The acceptor as clients meet it: a real store in memory, a real feed, both servers on loopback, one destination."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import trio
from attrs import define, evolve, field

from streamwarm.accept.answer_budget import AnswerBudget
from streamwarm.accept.auth import Auth
from streamwarm.accept.clients import open_listeners
from streamwarm.accept.http.gate import HttpApp, RequestLimits
from streamwarm.accept.http.routes import HttpHooks, build_app
from streamwarm.accept.http.server import HttpLimits, serve_http
from streamwarm.accept.http.sse import MAX_FOLLOWERS
from streamwarm.accept.intake import Intake
from streamwarm.accept.websocket.server import WebsocketLimits, serve_websocket
from streamwarm.accept.websocket.session import Heartbeat
from streamwarm.backlog.core.bounds import StoreBounds
from streamwarm.backlog.memory.store import open_memory_store
from streamwarm.backlog.records import Refreshed, RefreshRequest
from streamwarm.backlog.settlement import Done
from streamwarm.backlog.shared_limits import SetAside, UserPause
from streamwarm.backlog.store import Store
from streamwarm.errors import DestinationError, InvalidOptions
from streamwarm.model import JsonObject, NewJob, Progress, SeenObject
from streamwarm.redact import make_redactor
from streamwarm.send.destination import Body, Media
from streamwarm.send.verifying import Verified, Works
from streamwarm.settle.publisher import Publisher
from streamwarm.watch.dashboard.page import load_pages
from streamwarm.watch.observations import Observation

RESULT = {"file_id": "AgAC", "kind": "video"}
SHA256 = "ab" * 32
SECRET = "AA-secret-of-the-first-bot"
ACCOUNTS = {"mybot": "4242", "bucket": "https://s3/bucket/{r2_key}"}


class StubBot:
    """A bot whose only option is a caption. `answers` says what it answers about a `file_id`; others are good."""

    gives_file_ids: Literal[True] = True
    name = "mybot"
    on_unknown: Literal["retry", "hold"] = "retry"
    answer_timeout_s = 1.0

    def __init__(self) -> None:
        self.answers: dict[str, Verified | DestinationError] = {}
        self.asked: list[str] = []

    async def verify(self, result: JsonObject) -> Verified:
        await trio.lowlevel.checkpoint()
        self.asked.append(result["file_id"])
        answer = self.answers.get(result["file_id"], Verified(Works.GOOD))
        if isinstance(answer, DestinationError):
            raise answer
        return answer

    def check_job(self, job: NewJob) -> None:
        for option in job.options:
            if option != "caption":
                raise InvalidOptions(f"option {option!r} is unknown; allowed: caption")

    def check_media(self, media: Media) -> None:
        return None

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        raise NotImplementedError


class StubBucket:
    """A destination that gives no `file_id`s, and cannot be asked about what it has."""

    name = "bucket"
    on_unknown: Literal["retry", "hold"] = "retry"
    answer_timeout_s = 1.0

    def check_job(self, job: NewJob) -> None:
        return None

    def check_media(self, media: Media) -> None:
        return None

    async def deliver(self, media: Media, body: Body) -> JsonObject:
        raise NotImplementedError


def job(r2_key: str = "media/a.mp4", **members: Any) -> dict[str, Any]:
    return {"destination": "mybot", "kind": "video", "r2_key": r2_key} | members


@define(eq=False)
class World:
    store: Store
    intake: Intake
    feed: Publisher
    progress: dict[str, Progress]
    observed: list[Observation] = field(factory=list)
    wakes: list[None] = field(factory=list)
    obeyed: list[UserPause] = field(factory=list)
    mended: list[str] = field(factory=list)
    bot: StubBot = field(factory=StubBot)
    set_aside: list[SetAside] = field(factory=list)
    shutdown: trio.Event = field(factory=trio.Event)
    not_ready: list[str] = field(factory=list)
    _news: trio.Event = field(factory=trio.Event)

    async def warm(self, job_id: str, *, sha256: str = SHA256) -> None:
        """Take a queued job through to `done`."""
        [claim] = await self.store.claim([job_id])
        seen = SeenObject(claim.job.r2_key, 10, None, None, sha256)
        assert await self.store.settle([Done(claim.lease, RESULT, seen)]) == [True]

    def observe(self, observation: Observation) -> None:
        self.observed.append(observation)
        self._news.set()
        self._news = trio.Event()

    async def wait_for(self, kind: type, count: int = 1) -> None:
        """Wait until there are `count` observations of `kind`."""
        with trio.fail_after(10):
            while len(self.saw(kind)) < count:
                await self._news.wait()

    def saw(self, kind: type) -> list[Any]:
        return [item for item in self.observed if isinstance(item, kind)]


@asynccontextmanager
async def open_world(*, max_pending: int = 100_000) -> AsyncIterator[World]:
    ids, tokens = itertools.count(1), itertools.count(1)
    async with (
        open_memory_store(
            limits=StoreBounds(max_pending=max_pending),
            now=time.time,
            new_id=lambda: f"job-{next(ids)}",
            new_token=lambda: f"token-{next(tokens)}",
            accounts=ACCOUNTS,
        ) as store,
        trio.open_nursery() as nursery,
    ):
        progress: dict[str, Progress] = {}
        observed: list[Observation] = []
        wakes: list[None] = []
        feed = Publisher(store, lambda: progress, observed.append)
        await nursery.start(feed.run)
        obeyed: list[UserPause] = []
        mended: list[str] = []
        set_aside: list[SetAside] = []

        bot = StubBot()

        async def obey() -> None:
            shared = await store.shared_limits()
            obeyed[:] = shared.pauses
            set_aside[:] = shared.set_asides
            mended[:] = shared.resumes

        intake = Intake(
            store,
            {"mybot": bot, "bucket": StubBucket()},
            max_pending=max_pending,
            stats=_stats,
            observe=observed.append,
            on_pushed=lambda _: wakes.append(None),
            on_retried=lambda: wakes.append(None),
            on_cancelled=lambda _: None,
            on_pauses=obey,
            now=time.time,
            accounts=ACCOUNTS,
            redact=make_redactor([SECRET]),
            refresh=_refreshed,
        )
        yield World(store, intake, feed, progress, observed, wakes, obeyed, mended, bot, set_aside)
        nursery.cancel_scope.cancel()


async def _refreshed(request: RefreshRequest) -> Refreshed:
    return Refreshed(new=1, changed=2, gone=3, queued=0 if request.dry_run else 2)


async def _stats() -> JsonObject:
    return {"queue": {"queued": 0}}


QUICK = WebsocketLimits(
    handshake_s=5.0, send_within_s=5.0, graceful_s=3.0, heartbeat=Heartbeat(every_s=20.0, pong_within_s=20.0)
)


def quick(**changes: Any) -> WebsocketLimits:
    return evolve(QUICK, **changes)


@asynccontextmanager
async def open_websocket_service(
    world: World, *, auth: Auth | None = None, limits: WebsocketLimits = QUICK, answers: AnswerBudget | None = None
) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[str]) -> None:
            await serve_websocket(
                world.intake,
                world.feed,
                host="127.0.0.1",
                listeners=await open_listeners("127.0.0.1", 0),
                auth=auth or Auth(),
                observe=world.observe,
                shutdown=world.shutdown,
                limits=limits,
                answers=answers,
                task_status=task_status,
            )

        yield await nursery.start(serve)
        world.shutdown.set()


def make_app(
    world: World,
    auth: Auth,
    body_within_s: float = 30.0,
    requests: RequestLimits | None = None,
    max_followers: int = MAX_FOLLOWERS,
    answers: AnswerBudget | None = None,
) -> HttpApp:
    async def ready() -> str | None:
        return world.not_ready[0] if world.not_ready else None

    async def metrics() -> tuple[bytes, str]:
        return b"streamwarm_workers 5\n", "text/plain; version=0.0.4"

    hooks = HttpHooks(ready=ready, metrics=metrics, feed=world.feed, closing=world.shutdown, pages=load_pages())
    return build_app(
        world.intake,
        auth=auth,
        hooks=hooks,
        observe=world.observe,
        limits=requests,
        body_within_s=body_within_s,
        max_followers=max_followers,
        answers=answers,
    )


@asynccontextmanager
async def open_http_service(
    world: World,
    *,
    auth: Auth | None = None,
    limits: HttpLimits | None = None,
    requests: RequestLimits | None = None,
    body_within_s: float = 30.0,
    max_followers: int = MAX_FOLLOWERS,
    answers: AnswerBudget | None = None,
) -> AsyncIterator[str]:
    app = make_app(world, auth or Auth(), body_within_s, requests, max_followers, answers)
    async with trio.open_nursery() as nursery:

        async def serve(task_status: trio.TaskStatus[str]) -> None:
            await serve_http(
                app,
                host="127.0.0.1",
                listeners=await open_listeners("127.0.0.1", 0),
                observe=world.observe,
                now=time.time,
                shutdown=world.shutdown,
                limits=limits,
                task_status=task_status,
            )

        yield (await nursery.start(serve)).rstrip("/")
        world.shutdown.set()
