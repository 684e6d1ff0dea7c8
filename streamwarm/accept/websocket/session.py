"""One websocket client's session: it answers requests in order, and sends the events of the jobs the client watches.

The tasks share the connection: one answers requests, one follows events, one samples progress, one pings, and one
announces a drain; the connection's own task reads frames and answers pings. None has a queue. Each holds at most one
message, and the follower has a cursor, so a slow client delays only itself and costs no memory.

A lock, `_turn`, lets either the answering or the following task send. That makes `push` with `watch` exact. While the
push is answered, the follower's cursor does not move, so it skips no event of a job whose id is not known yet. And no
event is sent before the reply that names its job.
"""

from __future__ import annotations

import trio
from attrs import frozen

from streamwarm.accept.allowance import Allowance
from streamwarm.accept.clients import ClientStream
from streamwarm.accept.following import PROGRESS_EVERY_S, ProgressChanges, read_events
from streamwarm.accept.intake import Intake
from streamwarm.accept.websocket.connection import ConnectionEnded, WebsocketConnection
from streamwarm.accept.websocket.watching import Watching
from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    NO_REPLY,
    Call,
    InvalidRequest,
    Message,
    RpcError,
    decode,
    draining_text,
    encode_replies,
    error_reply,
    event_text,
    progress_text,
    result_reply,
)
from streamwarm.accept.wire.refusals import CallRefusedError, too_often
from streamwarm.accept.wire.requests import (
    CancelJob,
    ChangeJobs,
    FindRecord,
    ForgetRecord,
    GetAttempts,
    GetJob,
    ListJobs,
    PauseSending,
    PushJobs,
    Request,
    ResumeSending,
    RetryJob,
    UnwatchJobs,
    WatchJobs,
)
from streamwarm.accept.wire.table import MAX_WATCHED
from streamwarm.model import Event, JsonObject, State
from streamwarm.settle.feed import Feed
from streamwarm.watch.observations import Observer, UnexpectedError


@frozen
class Heartbeat:
    """A ping is sent every `every_s` seconds (contract: 20). If no pong comes within `pong_within_s`, the connection is
    aborted."""

    every_s: float = 20.0
    pong_within_s: float = 20.0


class _TooManyWatchedError(Exception):
    pass


class Session:
    """One client's session. `run` returns when the connection has ended, for whatever reason."""

    def __init__(
        self,
        connection: WebsocketConnection,
        stream: ClientStream,
        *,
        intake: Intake,
        feed: Feed,
        observe: Observer,
        heartbeat: Heartbeat,
        allowance: Allowance,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._intake = intake
        self._feed = feed
        self._observe = observe
        self._heartbeat = heartbeat
        self._allowance = allowance
        self._sending = trio.Lock()
        self._is_answering = False
        self._watching: Watching | None = None
        self._has_watch = trio.Event()
        self._idle = trio.CancelScope()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._connection.read)
                nursery.start_soon(self._follow_events)
                nursery.start_soon(self._sample_progress)
                nursery.start_soon(self._ping)
                nursery.start_soon(self._announce_drain)
                await self._answer_requests()
        except* ConnectionEnded:
            pass  # every session ends so; any of the tasks may be the first to notice

    async def _answer_requests(self) -> None:
        while True:
            text = await self._connection.receive_message()
            async with self._sending:
                self._is_answering = True
                await self._answer(decode(text) if isinstance(text, str) else _REFUSED_BINARY)
                self._is_answering = False

    async def _answer(self, message: Message) -> None:
        replies = []
        for item in message.items:
            reply = await self._execute(item)
            if item.id is not NO_REPLY:
                replies.append(reply)
        text = encode_replies(message, replies)
        if text is not None:
            await self._connection.send_message(text)

    async def _execute(self, item: Call | InvalidRequest) -> JsonObject:
        wait_s = self._allowance.take(trio.current_time())
        if wait_s is not None:
            return error_reply(item.id, RpcError.of(too_often(wait_s)))
        if isinstance(item, InvalidRequest):
            return error_reply(item.id, item.error)
        try:
            return result_reply(item.id, await self._result(item.request))
        except CallRefusedError as refusal:
            return error_reply(item.id, RpcError.of(refusal))
        except FieldError as error:
            return error_reply(item.id, RpcError(INVALID_PARAMS, str(error)))
        except _TooManyWatchedError:
            message = f"one connection may watch at most {MAX_WATCHED} jobs by id; leave out ids to watch all jobs"
            return error_reply(item.id, RpcError(INVALID_PARAMS, message))
        except Exception as error:
            self._observe(UnexpectedError("answering a websocket request", error))
            return error_reply(item.id, _INTERNAL_ERROR)

    async def _result(self, request: Request) -> JsonObject | None:
        match request:
            case PushJobs():
                return await self._push(request)
            case GetJob() | GetAttempts() | FindRecord() | ListJobs():
                return await self._look_up(request)
            case CancelJob(job_id):
                return await self._intake.cancel(job_id)
            case RetryJob(job_id):
                return await self._intake.retry(job_id)
            case ForgetRecord(lookup):
                return await self._intake.forget(lookup)
            case ChangeJobs():
                return await self._intake.change_jobs(request)
            case WatchJobs(ids, since):
                return await self._watch(ids, since)
            case UnwatchJobs():
                self._set_watching(None)
                return {}
            case PauseSending():
                return await self._intake.pause(request)
            case ResumeSending():
                return await self._intake.resume(request)
        return await self._intake.stats()

    async def _look_up(self, request: GetJob | GetAttempts | FindRecord | ListJobs) -> JsonObject | None:
        match request:
            case GetJob(job_id):
                return await self._intake.get(job_id)
            case GetAttempts(job_id):
                return await self._intake.attempts(job_id)
            case FindRecord(lookup):
                return await self._intake.find(lookup)
        return await self._intake.list_jobs(request)

    async def _push(self, request: PushJobs) -> JsonObject:
        if not request.watch:
            return await self._intake.push(request.jobs)
        self._check_room(len(request.jobs))
        before = self._feed.last_seq
        answer = await self._intake.push(request.jobs)
        ids = (item["id"] for item in answer["accepted"] if item["state"] is not State.DONE)
        self._set_watching(self._watched(before).with_ids(ids, before, replay=False))
        return answer

    async def _watch(self, ids: tuple[str, ...] | None, since: int | None) -> JsonObject:
        self._check_room(len(ids or ()))
        after = await self._feed.cursor(since)
        watching, replay = self._watched(after), since is not None
        if ids is None:
            self._set_watching(watching.with_all(after, replay=replay))
        else:
            self._set_watching(watching.with_ids(ids, after, replay=replay))
        return {"seq": after}

    def _watched(self, cursor: int) -> Watching:
        return self._watching or Watching(cursor, {})

    def _check_room(self, more: int) -> None:
        if more + len(self._watching.ids if self._watching else ()) > MAX_WATCHED:
            raise _TooManyWatchedError

    def _set_watching(self, watching: Watching | None) -> None:
        self._watching = watching
        self._idle.cancel()
        if watching is None:
            self._has_watch = trio.Event()
        else:
            self._has_watch.set()

    async def _follow_events(self) -> None:
        while True:
            await self._has_watch.wait()
            if (watching := self._watching) is None:
                continue
            with trio.CancelScope() as self._idle:  # a changed watch ends the wait
                await self._feed.wait(watching.cursor)
            if watching is self._watching:
                await self._send_events(watching, await read_events(self._feed, watching.cursor))

    async def _send_events(self, watching: Watching, events: list[Event]) -> None:
        async with self._sending:
            for event in events:
                if watching is not self._watching:
                    return
                if watching.advance(event):
                    await self._connection.send_message(event_text(event))

    async def _sample_progress(self) -> None:
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

    async def _announce_drain(self) -> None:
        """Notify the client when the service drains, so that it can stop pushing before it is refused."""
        within_s = await self._intake.draining()
        await self._connection.send_message(draining_text(within_s))

    async def _ping(self) -> None:
        count = 0
        while True:
            await trio.sleep(self._heartbeat.every_s)
            count += 1
            with trio.move_on_after(self._heartbeat.pong_within_s) as late:
                await self._connection.ping(str(count).encode())
            # While a request waits for the store, the client's next messages block the reader, so no pong is read.
            if late.cancelled_caught and not self._is_answering:
                self._stream.fault = f"no pong within {self._heartbeat.pong_within_s:g} s"
                self._stream.abort()


_INTERNAL_ERROR = RpcError(INTERNAL_ERROR, "an internal error; see the service's log")

_REFUSED_BINARY = Message(
    (InvalidRequest(None, RpcError(INVALID_REQUEST, "binary frames are not accepted; send JSON in text frames")),)
)
