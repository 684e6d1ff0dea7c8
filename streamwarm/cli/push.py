"""`streamwarm push`: pushes jobs and follows them to their end."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from typing import Any

import click
import trio
from attrs import field, frozen

from streamwarm.cli.client import CallError, Unreachable
from streamwarm.cli.common import FAILED, INTERRUPTED, fail, was_interrupted
from streamwarm.cli.display import open_display
from streamwarm.cli.follow import Following
from streamwarm.cli.job_input import (
    Defaults,
    JsonJob,
    choose_destination,
    job_options,
    jobs_from_arguments,
    jobs_from_listing,
)
from streamwarm.cli.pauses import SURE_AFTER, PauseNews
from streamwarm.cli.push_plan import print_plan
from streamwarm.cli.reach import Caller, Follower, Service, client_command, open_caller, open_follower
from streamwarm.model import Kind, Refresh
from streamwarm.printable import printable
from streamwarm.settings.schema import Settings

BATCH_JOBS = 500
BATCH_BYTES = 512 * 1024
"""The size of a batch as JSON. A frame may have 1 MiB; half of it leaves room for the envelope and for escaped keys."""

FIRST_LOOK_S, LOOK_EVERY_S = 1.0, 5.0
"""When a push asks for the first time whether its jobs are paused, and how often after that, in seconds. A push that is
done at once asks nothing."""

LAST_LOOK_S = 2.0
"""The longest that a push which is done waits to learn that a pause is over, or that it leaves its jobs to one."""

QUEUE_FULL, RATE_LIMITED = -32001, -32005
FULL_S = 5.0
"""How long to wait if the backlog is full and the service does not say how long."""


@frozen
class PushRequest:
    """What the command line asked for."""

    arguments: tuple[str, ...]
    prefix: str | None
    destination: str | None
    kind: str | None
    wait: bool
    refresh: str | None = None
    options: Mapping[str, Any] = field(factory=dict)
    dry_run: bool = False


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY... | FILE.jsonl | -]")
@click.option("--destination", "-d", help="Destination (default: each job's own, or the service's only one).")
@click.option("--kind", "-k", type=click.Choice([k.value for k in Kind]), help="Default: guessed from the key.")
@click.option("--prefix", help="Push every object of the bucket under this prefix.")
@click.option(
    "--refresh",
    type=click.Choice([refresh.value for refresh in Refresh]),
    help="What a record that exists means: it answers if its object has not changed (default), always, or never.",
)
@click.option("--option", "option", multiple=True, metavar="NAME=VALUE", help="An option for every job; repeatable.")
@click.option("--dry-run", is_flag=True, help="Print what would be done with each object, and push nothing.")
@click.option("--wait/--no-wait", default=True, help="Follow the jobs until all have ended (default), or not.")
@client_command
def push(
    keys: tuple[str, ...],
    destination: str | None,
    kind: str | None,
    prefix: str | None,
    wait: bool,
    refresh: str | None,
    option: tuple[str, ...],
    dry_run: bool,
    service: Service,
    as_json: bool,
) -> None:
    """Push jobs: object keys, a JSON-lines file of jobs, standard input (-), or all objects under --prefix.

    Exit 0 if every job was accepted and, unless --no-wait, ended done; 1 if any failed.
    """
    if bool(keys) == (prefix is not None):
        raise click.UsageError("give either object keys, a file of jobs, - or a --prefix")
    request = PushRequest(keys, prefix, destination, kind, wait, refresh, job_options(option), dry_run)
    if dry_run:
        trio.run(_plan, service, request, as_json)
        return
    is_interrupted = False
    with open_display(as_json=as_json) as display:
        following = Following(display)
        try:
            trio.run(_push, service, request, following)
        except BaseException as exc:
            is_interrupted = was_interrupted(exc)
            if not is_interrupted:
                raise
    if is_interrupted:
        left = following.open_count
        go_on = f"; {left} accepted jobs go on: `streamwarm jobs` lists them, `jobs cancel` cancels them"
        fail(f"interrupted{go_on if left else ''}", INTERRUPTED)
    sys.exit(FAILED if following.failed else 0)


async def _plan(service: Service, request: PushRequest, as_json: bool) -> None:
    async with open_caller(service) as caller:
        defaults = await _defaults(caller, request)
        async with aclosing(_jobs(service.settings, request)) as jobs:
            await print_plan(caller, _batches(jobs, defaults), as_json=as_json)


async def _defaults(caller: Caller, request: PushRequest) -> Defaults:
    """What a job has that names nothing else."""
    stats = await caller.call("stats", {})
    name = choose_destination(request.destination, stats["destinations"])
    return Defaults(name, request.kind, request.refresh, request.options)


async def _push(service: Service, request: PushRequest, following: Following) -> None:
    """Push the requested jobs and follow them to their end."""
    async with open_follower(service) as client:
        defaults = await _defaults(client, request)
        async with follow_to_end(client, following), aclosing(_jobs(service.settings, request)) as jobs:
            pushed = 0
            async for batch in _batches(jobs, defaults):
                await push_batch(client, batch, following, watch=request.wait)
                pushed += len(batch)
    if not pushed:
        where = "no job was given" if request.prefix is None else f"no key in the bucket begins with {request.prefix!r}"
        click.echo(f"streamwarm: nothing to push: {where}", err=True)


@asynccontextmanager
async def follow_to_end(client: Follower, following: Following) -> AsyncIterator[None]:
    """Push inside this block. Its exit waits until every followed job has ended. Raises `Unreachable`."""
    pushed, ended = trio.Event(), trio.Event()
    news = PauseNews()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_listen, client, following, pushed, ended)
        nursery.start_soon(_follow_pauses, client, following, news)
        yield
        pushed.set()
        if following.open_count:
            await ended.wait()
        if news.is_any_said or following.left:
            with trio.move_on_after(LAST_LOOK_S):
                await _say_pauses(client, following, news, sure_after=1)
        nursery.cancel_scope.cancel()


async def _follow_pauses(client: Follower, following: Following, news: PauseNews) -> None:
    """While jobs are open, say on standard error what pauses them, why, and what ends that."""
    await trio.sleep(FIRST_LOOK_S)
    while True:
        if following.wanted or news.is_any_said:
            await _say_pauses(client, following, news)
        await trio.sleep(LOOK_EVERY_S)


async def _say_pauses(client: Follower, following: Following, news: PauseNews, *, sure_after: int = SURE_AFTER) -> None:
    try:
        stats = await client.call("stats", {})
    except (CallError, Unreachable):
        return  # the next look may succeed; a lost connection ends the command elsewhere
    for line in news.lines(stats, following.wanted, sure_after=sure_after):
        # Not by click.echo: it bypasses the bars' display, which puts the line above them.
        print(f"streamwarm: {printable(line)}", file=sys.stderr)


async def _listen(client: Follower, following: Following, pushed: trio.Event, ended: trio.Event) -> None:
    async for note in client.notifications:
        following.notified(note["method"], note["params"])
        if pushed.is_set() and not following.open_count:
            ended.set()
    raise Unreachable(
        "the connection ended before every job had; the acknowledged jobs are stored: push again to follow them"
    )


async def _jobs(settings: Settings, request: PushRequest) -> AsyncGenerator[JsonJob, None]:
    """The requested jobs. If the bucket can be asked, jobs whose name does not show a kind get one."""
    if request.prefix is None and (request.kind is not None or settings.r2.missing()):
        async with aclosing(_named_jobs(request.arguments)) as jobs:
            async for job in jobs:
                yield job
        return
    from streamwarm.cli.content_type import with_kinds  # imported only if the bucket is asked
    from streamwarm.service.machine import real_machine
    from streamwarm.service.open import open_source

    async with open_source(settings, real_machine()) as source:
        listed = None if request.prefix is None else jobs_from_listing(source.list_objects(request.prefix))
        async with aclosing(listed or _named_jobs(request.arguments)) as jobs:
            asked = jobs if request.kind is not None else with_kinds(jobs, source)
            async with aclosing(asked):
                async for job in asked:
                    yield job


async def _named_jobs(arguments: tuple[str, ...]) -> AsyncGenerator[JsonJob, None]:
    jobs = jobs_from_arguments(arguments, sys.stdin)
    # Read in a thread: standard input may be a slow pipe.
    while some := await trio.to_thread.run_sync(lambda: list(islice(jobs, BATCH_JOBS)), abandon_on_cancel=True):
        for job in some:
            yield job


async def _batches(jobs: AsyncIterator[JsonJob], defaults: Defaults) -> AsyncIterator[list[JsonJob]]:
    batch: list[JsonJob] = []
    size_bytes = 0
    async for job in jobs:
        completed = defaults.apply(job)
        job_bytes = len(json.dumps(completed))
        if batch and (len(batch) == BATCH_JOBS or size_bytes + job_bytes > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(completed)
        size_bytes += job_bytes
    if batch:
        yield batch


async def push_batch(client: Follower, batch: list[JsonJob], following: Following, *, watch: bool) -> None:
    """Push until every job is accepted or rejected. If the backlog is full or the client is rate limited, wait and push
    the rest again."""
    pending = batch
    while pending:
        try:
            reply = await client.call("push", {"jobs": pending, "watch": watch})
        except CallError as exc:
            if exc.code not in (QUEUE_FULL, RATE_LIMITED):
                raise
            following.not_taken(pending)
            await trio.sleep(exc.data.get("retry_after_s", FULL_S))
            continue
        for answer in reply["accepted"]:
            take = following.accepted if watch else following.accepted_unwatched
            take(pending[answer["index"]], answer)
        full = [answer for answer in reply["rejected"] if answer["code"] == "queue_full"]
        for answer in reply["rejected"]:
            if answer["code"] != "queue_full":
                following.rejected(pending[answer["index"]], answer)
        following.batch_answered()
        pending = [pending[answer["index"]] for answer in full]
        following.not_taken(pending)
        if full:
            await trio.sleep(full[0].get("retry_after_s", FULL_S))
