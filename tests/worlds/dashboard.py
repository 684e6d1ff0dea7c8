"""Two services for a browser, in a trio run of their own on a thread: Playwright's driver wants the test's own thread.

The busy one has a token. The idle one lets everybody in; tests pause it and fill its backlog.
"""

from __future__ import annotations

import json
import math
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import attrs
import trio

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import BotApiEmulator, Fault
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.service.machine import real_machine
from streamwarm.service.nursery import run_service
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.schema import AuthSettings, QueueSettings, RecordsSettings
from streamwarm.watch.history import STEP_S, STEPS, History
from streamwarm.watch.observations import AttemptSucceeded, BytesMoved, Direction, Observation, UnexpectedError
from tests.worlds.service import (
    DEADLINE_S,
    OTHER_TOKEN,
    delete_now,
    put,
    running_emulator,
    settings_for,
    telegram_table,
)

TOKEN = "canary-dashboard-token"


@attrs.frozen(eq=False)
class Live:
    """`busy` and `idle` are the two services' addresses; what went wrong inside them is in `unexpected`."""

    busy: str
    idle: str
    emulator: BotApiEmulator
    unexpected: list[Observation]
    _store: ObjectStore
    _token: trio.lowlevel.TrioToken

    def put(self, objects: Mapping[str, bytes]) -> None:
        trio.from_thread.run(put, self._store, objects, trio_token=self._token)

    def delete(self, key: str) -> None:
        delete_now(self._store, key)

    def inject(self, *faults: Fault) -> None:
        for fault in faults:
            trio.from_thread.run_sync(self.emulator.inject, fault, trio_token=self._token)

    def calm(self) -> None:
        trio.from_thread.run_sync(self.emulator.clear_faults, trio_token=self._token)

    def ask(self, path: str, body: Any = None, *, url: str | None = None) -> Any:
        """What a program gets from a service (the busy one) at `path`; a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        request = urllib.request.Request((url or self.busy) + path, data, headers)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def push(self, *jobs: Mapping[str, Any], url: str | None = None) -> list[str]:
        """Push to a service (the busy one); the ids."""
        given = [{"destination": "mybot", "kind": "document", **job} for job in jobs]
        answer = self.ask("/v1/jobs", {"jobs": given}, url=url)
        assert answer["rejected"] == []
        return [one["id"] for one in answer["accepted"]]


def past_hour(started_at: float) -> History:
    """A service's memory as if it had run for an hour before its start, so that the plots have something to draw."""
    history = History(started_at - STEPS * STEP_S)
    for minute in range(STEPS - 1):
        at = started_at - (STEPS - 1 - minute) * STEP_S
        wave = 1.2 + math.sin(minute / 6) + 0.25 * math.sin(minute * 2.1)
        history.observe(BytesMoved(Direction.DESTINATION, round(wave * 1.1e9)), at)
        history.sample(0, at)
        for one in range(round(wave * 14)):
            warm_s = 1.5 + 0.9 * math.sin(minute / 9) + one % 7 * 0.4
            history.observe(AttemptSucceeded("", "mybot", Kind.VIDEO, "", 1, 1, warm_s, warm_s), at)
    return history


async def _serve(store: ObjectStore, folder: Path, started: Queue[Any]) -> None:
    unexpected: list[Observation] = []

    def observe(observation: Observation) -> None:
        if isinstance(observation, UnexpectedError):
            unexpected.append(observation)

    async with running_emulator() as emulator, trio.open_nursery() as nursery:
        tables = {"mybot": telegram_table(emulator), "archive": telegram_table(emulator, OTHER_TOKEN, rates="telegram")}
        plain = settings_for(store, folder / "idle.db", tables)
        guarded = attrs.evolve(
            settings_for(store, folder / "busy.db", tables, queue=QueueSettings(max_attempts=2)),
            auth=AuthSettings(tokens=[TOKEN]),
            # Only what a person asks for is compared, and always.
            records=RecordsSettings(revalidate=False, trust_s=0),
        )
        serve = partial(run_service, observe=observe, machine=real_machine(), make_history=past_hour)
        busy = await nursery.start(partial(serve, guarded, Shutdown()))
        idle = await nursery.start(partial(serve, plain, Shutdown()))
        where = (busy.http.rstrip("/"), idle.http.rstrip("/"), emulator, unexpected)
        started.put((Live(*where, store, trio.lowlevel.current_trio_token()), nursery.cancel_scope))


@contextmanager
def live_services(store: ObjectStore, folder: Path) -> Iterator[Live]:
    """Both services, running inside this block."""
    started: Queue[Any] = Queue()

    def run() -> None:
        try:
            trio.run(_serve, store, folder, started)
        except BaseException as error:
            started.put(error)

    thread = threading.Thread(target=run, name="live-services")
    thread.start()
    outcome = started.get()
    if isinstance(outcome, BaseException):
        raise outcome
    live, scope = outcome
    try:
        yield live
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=live._token)
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), "the services did not stop"
