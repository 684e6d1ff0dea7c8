"""`streamwarm jobs`: lists jobs, and retries, cancels or forgets them by id or by filter."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import click
import trio
from attrs import frozen

from streamwarm.cli.common import FAILED, OK, F, fail, print_json
from streamwarm.cli.explain import remedy, warning_remedy
from streamwarm.cli.reach import Caller, Service, client_command, client_options, open_caller
from streamwarm.cli.record_text import spelled
from streamwarm.cli.table import print_table
from streamwarm.model import State
from streamwarm.printable import printable

PAGE_JOBS = 500
HEADINGS = ("id", "state", "destination", "kind", "key", "attempt", "updated", "error")
ATTEMPT_HEADINGS = ("attempt", "started", "ended", "outcome", "host", "process", "worker", "chat", "bytes", "error")


@frozen
class Selection:
    """Which jobs: those in `ids`, or else all with this `state` and `destination` (None: any)."""

    ids: tuple[str, ...]
    state: str | None
    destination: str | None

    def filter(self) -> dict[str, Any]:
        named = {"state": self.state, "destination": self.destination}
        return {name: value for name, value in named.items() if value is not None}


def _filter_options(command: F) -> F:
    states = click.Choice([state.value for state in State])
    command = click.option("--destination", "-d", help="Only jobs for this destination.")(command)
    return click.option("--state", "-s", type=states, help="Only jobs in this state.")(command)


@click.group(invoke_without_command=True)
@_filter_options
@click.option("--limit", "-n", default=100, type=click.IntRange(0), help="Maximum number, newest first; 0: all.")
@client_options
@click.pass_context
def jobs(ctx: click.Context, /, **options: Any) -> None:
    """List jobs, newest first; or retry, cancel, forget or show some.

    In a pipe, tab-separated: id, state, destination, kind, key, attempt, time of the last change, error.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(_list, **options)
    else:  # options before the subcommand apply to it too
        given = {name: value for name, value in options.items() if value is not None and value is not False}
        ctx.default_map = {ctx.invoked_subcommand: given}


@client_command
def _list(state: str | None, destination: str | None, limit: int, service: Service, as_json: bool) -> None:
    more = trio.run(_print_jobs, service, Selection((), state, destination), limit, as_json)
    if more and not as_json:
        click.echo(f"there are more than {limit}; --limit 0 shows all, --state and --destination filter", err=True)


async def _print_jobs(service: Service, selection: Selection, limit: int, as_json: bool) -> bool:
    """Print up to `limit` jobs (0: all). Returns True if there are more."""
    left, after = limit, None
    async with open_caller(service) as caller:
        while True:
            size = min(PAGE_JOBS, left) if limit else PAGE_JOBS
            page = await caller.call("list", {**selection.filter(), "limit": size, **_from(after)})
            _print_page(page["jobs"], as_json)
            left, after = left - len(page["jobs"]), page["next"]
            if after is None or (limit and not left):
                return after is not None


def _print_page(page: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        for job in page:
            print_json(job)
    elif page:
        print_table(HEADINGS, [_row(job) for job in page])


def _from(after: int | None) -> dict[str, int]:
    return {} if after is None else {"after": after}


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    names = (job["id"], job["state"], job["destination"], job["kind"], job["r2_key"], str(job["attempt"]))
    return (*names, job["updated_at"], _error_text(job.get("error")))


@jobs.command()
@click.argument("job_id", metavar="ID")
@client_command
def show(job_id: str, service: Service, as_json: bool) -> None:
    """Show all details of a job, what to do about its error, and its attempts (the last hundred, oldest first).

    With --json, the job is one object, with its attempts in it. In a pipe, each attempt is a line of tab-separated
    fields: number, start, end, outcome, host, process, worker, chat, bytes, error.
    """
    job, attempts = trio.run(_get_with_attempts, service, job_id)
    if as_json:
        print_json({**job, "attempts": attempts})
        return
    error = job.pop("error", None)
    for name, value in job.items():
        if value not in (None, {}):
            click.echo(printable(f"{name}: {spelled(value)}"))
    for warning in (job.get("result") or {}).get("warnings", ()):
        click.echo(printable(f"warning: {warning}: {warning_remedy(warning)}"))
    if error:
        click.echo(printable(f"error: {error['code']}: {error['message']}"))
        click.echo(f"what to do: {remedy(error['code'], job['state'])}")
    if attempts:
        click.echo("attempts:")
        print_table(ATTEMPT_HEADINGS, [_attempt_row(attempt) for attempt in attempts])


async def _get_with_attempts(service: Service, job_id: str) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
    async with open_caller(service) as caller:
        job = await caller.call("get", {"id": job_id})
        answer = await caller.call("attempts", {"id": job_id})
    return dict(job), list(answer["attempts"])


def _attempt_row(attempt: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("number", "started_at", "ended_at", "outcome", "host", "process", "worker", "chat", "bytes")
    shown = ("" if attempt[name] is None else str(attempt[name]) for name in names)
    return (*shown, _error_text(attempt["error"]))


def _error_text(error: Mapping[str, Any] | None) -> str:
    return f"{error['code']}: {error['message']}" if error else ""


def _bulk_command(name: str, past_tense: str, states: tuple[State, ...], text: str) -> None:
    """Add the command `name`. `--all` selects jobs in any of `states`."""

    @jobs.command(name, help=text)
    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @_filter_options
    @click.option("--all", "every", is_flag=True, help=f"All jobs that are {', '.join(states)}.")
    @_yes_option(name)
    @client_command
    def command(
        ids: tuple[str, ...],
        state: str | None,
        destination: str | None,
        every: bool,
        service: Service,
        as_json: bool,
        yes: bool = False,
    ) -> None:
        if bool(ids) == bool(every or state or destination) or (every and state):
            raise click.UsageError("give either job ids, or --state and --destination, or --all")
        wanted = [s.value for s in states] if every else [state]
        selections = [Selection(ids, one, destination) for one in wanted]
        if name == "forget" and not yes and _is_terminal():
            _confirm(service, selections)
        total = trio.run(_change, service, f"{name}_jobs", selections)
        if as_json:
            print_json(total)
        else:
            click.echo(f"{past_tense} {total['changed']} of {total['matched']} jobs")
            if total["changed"] < total["matched"]:
                others = (
                    "the others are live, or their record is dropped already"
                    if name == "forget"
                    else f"{name} was not possible in the others' state"
                )
                click.echo(f"{others}; see `streamwarm jobs show ID`", err=True)
        if ids and total["matched"] < len(set(ids)):
            fail(f"{len(set(ids)) - total['matched']} of these ids match no job (any more)", FAILED)
        sys.exit(OK if total["changed"] or not ids else FAILED)


def _yes_option(name: str) -> Callable[[F], F]:
    """`--yes` for the one command that drops what cannot be had back."""
    if name != "forget":
        return lambda command: command
    return click.option("--yes", "-y", is_flag=True, help="Do not ask before warm records are dropped.")


def _is_terminal() -> bool:
    """Whether somebody can be asked: a script that reads or writes through a pipe cannot."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _confirm(service: Service, selections: Sequence[Selection]) -> None:
    """Ask before warm records are dropped. Exits with 1 if the answer is no."""
    dropped = trio.run(_count_done, service, selections)
    if not dropped:
        return
    question = (
        f"This drops the warm records of up to {dropped} done jobs: bots find them cold until they are warmed again, "
        "with an upload each. Go on?"
    )
    if not click.confirm(question, err=True):
        fail("nothing was forgotten", FAILED)


async def _count_done(service: Service, selections: Sequence[Selection]) -> int:
    """How many jobs of these may be done, which alone have records to drop."""
    open_to = [one for one in selections if one.ids or one.state in {None, State.DONE}]
    if not open_to or open_to[0].ids:
        return sum(len(set(one.ids)) for one in open_to)
    async with open_caller(service) as caller:
        stats = await caller.call("stats", {})
    destination = open_to[0].destination
    queue = stats["queue"] if destination is None else stats["destinations"].get(destination, {}).get("queue", {})
    return int(queue.get(State.DONE, 0))


async def _change(service: Service, method: str, selections: list[Selection]) -> dict[str, int]:
    total = {"matched": 0, "changed": 0}
    async with open_caller(service) as caller:
        for selection in selections:
            async with aclosing(_batches(caller, method, selection)) as batches:
                async for batch in batches:
                    for name in total:
                        total[name] += batch[name]
    return total


async def _batches(caller: Caller, method: str, selection: Selection) -> AsyncGenerator[Mapping[str, Any], None]:
    if selection.ids:
        for start in range(0, len(selection.ids), PAGE_JOBS):
            yield await caller.call(method, {"ids": list(selection.ids[start : start + PAGE_JOBS])})
        return
    after: int | None = None
    while True:
        batch = await caller.call(method, {**selection.filter(), **_from(after)})
        yield batch
        after = batch["next"]
        if after is None:
            return


_bulk_command(
    "retry",
    "retried",
    (State.FAILED, State.UNKNOWN),
    "Queue failed, unknown or cancelled jobs again, with all their attempts.",
)
_bulk_command(
    "cancel",
    "cancelled",
    (State.QUEUED, State.WAITING, State.RUNNING, State.UNKNOWN),
    "Cancel jobs that have not ended; a running transfer is cut off.",
)
_bulk_command(
    "forget",
    "forgot",
    (State.FAILED, State.UNKNOWN, State.CANCELLED),
    "Forget ended jobs: done jobs lose their warm record, so that the next push warms again; failed, unknown and "
    "cancelled jobs are deleted. On a terminal it asks before it drops records.",
)
