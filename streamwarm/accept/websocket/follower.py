"""What one websocket client follows: which jobs it watches, and the events and the progress that it is sent.

The session's lock `turn` keeps replies and events apart (`session.py` says why).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import trio

from streamwarm.accept.allowance import Allowance
from streamwarm.accept.answer_budget import AnswerBudget, Room
from streamwarm.accept.clients import ClientStream
from streamwarm.accept.following import (
    EVENTS_BYTES,
    PROGRESS_EVERY_S,
    ProgressChanges,
    events_bytes,
    read_events,
    read_replay,
)
from streamwarm.accept.intake import Intake
from streamwarm.accept.websocket.connection import WebsocketConnection
from streamwarm.accept.websocket.watching import Replay, Watching, has_ended
from streamwarm.accept.wire.json_text import MAX_INTEGER
from streamwarm.accept.wire.jsonrpc import event_text, progress_text
from streamwarm.accept.wire.refusals import CallRefusedError, too_often
from streamwarm.accept.wire.requests import PushJobs
from streamwarm.accept.wire.table import MAX_WATCHED
from streamwarm.model import Event, JsonObject, State
from streamwarm.settle.feed import Feed

_LOOK_UPS_PER_REQUEST = 100
"""Jobs looked up in the store at the price of one request of the client's allowance."""


class TooManyWatchedError(Exception):
    """The client would watch more than `MAX_WATCHED` jobs by id."""


class Follower:
    """One client's watch. `push`, `watch` and `unwatch` change it; call them while holding `turn`."""

    def __init__(
        self,
        connection: WebsocketConnection,
        stream: ClientStream,
        *,
        intake: Intake,
        feed: Feed,
        turn: trio.Lock,
        allowance: Allowance,
        answers: AnswerBudget,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._intake = intake
        self._feed = feed
        self._turn = turn
        self._allowance = allowance
        self._answers = answers
        self._watching: Watching | None = None
        self._has_watch = trio.Event()
        self._idle = trio.CancelScope()

    async def push(self, request: PushJobs) -> JsonObject:
        if not request.watch:
            return await self._intake.push(request.jobs)
        await self._make_room(len(request.jobs))
        before = self._feed.last_seq
        answer = await self._intake.push(request.jobs)
        states = {item["id"]: item["state"] for item in answer["accepted"] if item["state"] is not State.DONE}
        watching = self._watched(before).with_ids(states, before, replay=False)
        await self._note_ended(watching, states)
        self._set_watching(watching)
        return answer

    async def watch(self, ids: tuple[str, ...] | None, since: int | None) -> JsonObject:
        await self._make_room(len(ids or ()))
        before = self._feed.last_seq
        after = await self._feed.cursor(since)
        replay = since is not None
        if ids is None:
            self._set_watching(self._watched(before).with_all(after, replay=replay))
        else:
            states = await self._intake.states(ids)  # read after `after`: the events since then correct it
            watching = self._watched(before).with_ids(ids, after, replay=replay)
            await self._note_ended(watching, states)
            self._set_watching(watching)
        return {"seq": after}

    async def _note_ended(self, watching: Watching, states: Mapping[str, State | None]) -> None:
        """Note which of these jobs have ended. No further event may come that would remove them from the list."""
        watching.note_ended((job_id for job_id, state in states.items() if state is None), 0)  # its events are deleted
        if ended := [job_id for job_id, state in states.items() if state is not None and has_ended(state)]:
            watching.note_ended(ended, await self._feed.cursor(MAX_INTEGER))

    def _watched(self, cursor: int) -> Watching:
        return self._watching or Watching(cursor, {})

    async def _make_room(self, more: int) -> None:
        """Make room on the list for `more` jobs. Raises `TooManyWatchedError`."""
        watching = self._watched(0)
        if watching.make_room(more, MAX_WATCHED):
            return
        # A job that was deleted right after it ended leaves no event, so only the store knows of it. That costs.
        live = [job_id for job_id in watching.ids if job_id not in watching.ended]
        wait_s = self._allowance.take(trio.current_time(), len(live) / _LOOK_UPS_PER_REQUEST)
        if wait_s is not None:
            raise too_often(wait_s)
        states = await self._intake.states(live)
        watching.note_ended((job_id for job_id, state in states.items() if state is None), 0)
        if not watching.make_room(more, MAX_WATCHED):
            raise TooManyWatchedError

    def unwatch(self) -> None:
        self._set_watching(None)

    def _set_watching(self, watching: Watching | None) -> None:
        self._watching = watching
        self._idle.cancel()
        if watching is None:
            self._has_watch = trio.Event()
        else:
            self._has_watch.set()

    async def follow_events(self) -> None:
        while True:
            await self._has_watch.wait()
            if (watching := self._watching) is None:
                continue
            with trio.CancelScope() as self._idle:  # a changed watch ends the wait
                await self._feed.wait(watching.cursor)
            if watching is not self._watching:
                continue
            with suppress(CallRefusedError):  # there was no room in time: nothing is lost, because the cursor stays
                await self._send_next(watching)

    async def _send_next(self, watching: Watching) -> None:
        """Read some events, and send those that are wanted."""
        async with self._answers.room(EVENTS_BYTES) as room:
            if watching.replay is not None and watching.replay.is_worth_an_index(watching.cursor):
                await self._replay(watching, watching.replay, room)
            else:
                await self._send_events(watching, await read_events(self._feed, watching.cursor), room)

    async def _replay(self, watching: Watching, replay: Replay, room: Room) -> None:
        events, are_last = await read_replay(self._feed, replay.ids, watching.cursor, replay.until)
        await self._send_events(watching, events, room)
        if are_last and watching is self._watching:
            watching.finish_replay()

    async def _send_events(self, watching: Watching, events: list[Event], room: Room) -> None:
        async with self._turn:
            room.keep(events_bytes(len(events)))
            for event in events:
                if watching is not self._watching:
                    return
                if watching.advance(event):
                    await self._connection.send_message(event_text(event))

    async def sample_progress(self) -> None:
        progress_changes = ProgressChanges(self._feed)
        while True:
            await self._has_watch.wait()
            await trio.sleep(PROGRESS_EVERY_S)
            if self._stream.is_sending:
                continue
            for progress in progress_changes.unsent(self._is_watched):
                await self._connection.send_message(progress_text(progress))

    def _is_watched(self, job_id: str) -> bool:
        return self._watching is not None and self._watching.includes(job_id)
