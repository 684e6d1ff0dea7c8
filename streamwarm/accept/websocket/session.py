"""One websocket client's session: it answers requests in order, and sends the events of the jobs the client watches.

The tasks share the connection: one answers requests, one follows events, one samples progress, one pings, and one
announces a drain; the connection's own task reads frames and answers pings. None has a queue. Each holds at most one
message, and the follower has a cursor, so a slow client delays only itself and costs no memory.

A lock, `_turn`, lets either the answering or the following task send. That makes `push` with `watch` exact. While the
push is answered, the follower's cursor does not move, so it skips no event of a job whose id is not known yet. And no
event is sent before the reply that names its job.

What is answered takes room of the process's `AnswerBudget` until it is sent. A batch is answered piece by piece: its
next request is executed when the client has taken the last reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import trio
from attrs import frozen
from trio_websocket import ConnectionClosed

from streamwarm.accept.allowance import Allowance
from streamwarm.accept.answer_budget import AnswerBudget, AnswerUnreadError
from streamwarm.accept.clients import ClientStream
from streamwarm.accept.intake import Intake
from streamwarm.accept.websocket.connection import WebsocketConnection
from streamwarm.accept.websocket.follower import Follower, TooManyWatchedError
from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.json_text import json_text
from streamwarm.accept.wire.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    NO_REPLY,
    Call,
    InvalidRequest,
    Message,
    ReplyArray,
    RpcError,
    decode,
    draining_text,
    error_reply,
    result_reply,
)
from streamwarm.accept.wire.record_requests import (
    FindRecord,
    ForgetRecord,
    ImportRecords,
    ListRecords,
    RecordRequest,
    ReportInvalid,
    VerifyRecords,
)
from streamwarm.accept.wire.refusals import CallRefusedError, too_often
from streamwarm.accept.wire.requests import (
    CancelJob,
    ChangeJobs,
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
from streamwarm.accept.wire.sizes import answer_bytes
from streamwarm.accept.wire.table import MAX_WATCHED
from streamwarm.backlog.records import RefreshRequest
from streamwarm.model import JsonObject
from streamwarm.settle.feed import Feed
from streamwarm.watch.observations import Observer, UnexpectedError


@frozen
class Heartbeat:
    """A ping is sent every `every_s` seconds (contract: 20). If no pong comes within `pong_within_s`, the connection is
    aborted."""

    every_s: float = 20.0
    pong_within_s: float = 20.0


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
        answers: AnswerBudget,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._intake = intake
        self._observe = observe
        self._heartbeat = heartbeat
        self._allowance = allowance
        self._answers = answers
        self._turn = trio.Lock()
        self._is_answering = False
        self._follower = Follower(
            connection, stream, intake=intake, feed=feed, turn=self._turn, allowance=allowance, answers=answers
        )

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follower.follow_events)
                nursery.start_soon(self._follower.sample_progress)
                nursery.start_soon(self._ping)
                nursery.start_soon(self._announce_drain)
                await self._answer_requests()
        except* ConnectionClosed:
            pass  # every session ends so; any of the tasks may be the first to notice
        except* AnswerUnreadError as unread:
            self._stream.fault = str(unread.exceptions[0])
            self._stream.abort()

    async def _answer_requests(self) -> None:
        while True:
            message = _decoded(await self._connection.get_message())
            async with self._turn:
                self._is_answering = True
                # Requests are dropped once executed: they may be large, and their replies unread for long.
                items, is_batch = deque(message.items), message.is_batch
                del message
                if is_batch:
                    await self._answer_batch(items)
                else:
                    await self._reply(items.popleft(), self._connection.send_message)
                self._is_answering = False

    async def _answer_batch(self, items: deque[Call | InvalidRequest]) -> None:
        array = ReplyArray()
        async with self._connection.open_message() as answer:

            async def add(reply: str) -> None:
                await answer.write(array.add(reply))

            while items:
                await self._reply(items.popleft(), add)
                await trio.lowlevel.checkpoint()  # a batch must not keep the others from the event loop
            if end := array.end():
                await answer.write(end)

    async def _reply(self, item: Call | InvalidRequest, send: Callable[[str], Awaitable[None]]) -> None:
        """Execute one request, and send its reply if it wants one."""
        request_id, request = item.id, item.request if isinstance(item, Call) else None
        try:
            async with self._answers.room(answer_bytes(request)) as room:
                async with (
                    self._answers.making_page() if isinstance(request, ListJobs | ListRecords) else nullcontext()
                ):
                    reply = await self._execute(item)
                    text = json_text(reply) if request_id is not NO_REPLY else ""
                del item, request, reply
                room.keep(len(text))
                if text:
                    await send(text)
        except CallRefusedError as refusal:  # there was no room
            if request_id is not NO_REPLY:
                await send(json_text(error_reply(request_id, RpcError.of(refusal))))

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
        except TooManyWatchedError:
            message = f"one connection may watch at most {MAX_WATCHED} jobs by id; leave out ids to watch all jobs"
            return error_reply(item.id, RpcError(INVALID_PARAMS, message))
        except Exception as error:
            self._observe(UnexpectedError("answering a websocket request", error))
            return error_reply(item.id, _INTERNAL_ERROR)

    async def _result(self, request: Request) -> JsonObject | None:
        match request:
            case PushJobs():
                return await self._follower.push(request)
            case GetJob() | GetAttempts() | ListJobs():
                return await self._look_up(request)
            case (
                FindRecord()
                | ForgetRecord()
                | ListRecords()
                | ReportInvalid()
                | ImportRecords()
                | VerifyRecords()
                | RefreshRequest()
            ):
                return await self._of_records(request)
            case CancelJob(job_id):
                return await self._intake.cancel(job_id)
            case RetryJob(job_id):
                return await self._intake.retry(job_id)
            case ChangeJobs():
                return await self._intake.change_jobs(request)
            case WatchJobs(ids, since):
                return await self._follower.watch(ids, since)
            case UnwatchJobs():
                self._follower.unwatch()
                return {}
            case PauseSending():
                return await self._intake.pause(request)
            case ResumeSending():
                return await self._intake.resume(request)
        return await self._intake.stats()

    async def _of_records(self, request: RecordRequest) -> JsonObject | None:
        records = self._intake.records
        match request:
            case FindRecord(lookup):
                return await self._intake.find(lookup)
            case ForgetRecord():
                return await self._intake.forget(request)
            case ListRecords():
                return await records.page(request)
            case ReportInvalid():
                return await records.invalid(request)
            case ImportRecords():
                return await records.import_records(request)
            case RefreshRequest():
                return await records.refresh(request)
        return await records.verify(request)

    async def _look_up(self, request: GetJob | GetAttempts | ListJobs) -> JsonObject | None:
        match request:
            case GetJob(job_id):
                return await self._intake.get(job_id)
            case GetAttempts(job_id):
                return await self._intake.attempts(job_id)
        return await self._intake.list_jobs(request)

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


def _decoded(message: str | bytes) -> Message:
    return decode(message) if isinstance(message, str) else _REFUSED_BINARY


_INTERNAL_ERROR = RpcError(INTERNAL_ERROR, "an internal error; see the service's log")

_REFUSED_BINARY = Message(
    (InvalidRequest(None, RpcError(INVALID_REQUEST, "binary frames are not accepted; send JSON in text frames")),)
)
