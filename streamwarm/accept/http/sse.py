"""Server-sent events: the websocket's notifications over HTTP, for pages and for `curl`.

The format is WHATWG HTML's (section 9.2, https://html.spec.whatwg.org/multipage/server-sent-events.html). Each client
has one task and no queue. The cursor into the feed moves only after the connection has taken the events before it. So a
client that does not read costs one batch of events until `ClientStream` aborts it (fault 30).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import trio

from streamwarm.accept.answer_budget import AnswerBudget
from streamwarm.accept.following import EVENTS_BYTES, PROGRESS_EVERY_S, ProgressChanges, read_events
from streamwarm.accept.http.message import Headers, Send, StreamedResponse
from streamwarm.accept.http.problems import HttpError
from streamwarm.accept.wire.fields import FieldError
from streamwarm.accept.wire.json_text import MAX_INTEGER, json_text
from streamwarm.accept.wire.refusals import CallRefusedError
from streamwarm.accept.wire.views import event_view, progress_view
from streamwarm.model import Event, Progress
from streamwarm.settle.feed import Feed

RECONNECT_MS = 2000
"""How long a browser waits before it reconnects. Without it, browsers commonly wait 3 to 5 s."""

MAX_FOLLOWERS = 256
"""Clients that may follow at a time: half of the HTTP connections (`HttpLimits`), so that the others can still ask."""

KEEP_ALIVE_S = 15.0
"""Seconds of silence before a comment is sent, as WHATWG advises. Proxies commonly close a connection that is silent
for 60 s."""


def event_message(event: Event) -> str:
    """A job's change of state. Its `seq` is the id from which a client resumes."""
    return f"id: {event.seq}\nevent: event\ndata: {json_text(event_view(event))}\n\n"


def progress_message(progress: Progress) -> str:
    """A job's progress. It has no id: progress is not stored, so it cannot be replayed."""
    return f"event: progress\ndata: {json_text(progress_view(progress))}\n\n"


def opening_message(cursor: int) -> str:
    """The first message of a stream. It carries no event, only the id to resume from before the first event comes."""
    return f"retry: {RECONNECT_MS}\nid: {cursor}\n\n"


def last_event_id(headers: Headers, query: Mapping[str, str]) -> int | None:
    """The id of the last event that the client has seen, None if it names none. Raises `FieldError`.

    The header wins over the query: a browser keeps the address it was given, and sends the header when it reconnects.
    """
    text = headers.get("last-event-id") or query.get("last_event_id")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_INTEGER):
        raise FieldError("Last-Event-ID must be an id that this service sent: a whole number")
    return int(text)


class EventStream(StreamedResponse):
    """An endless response: events after `cursor`, until the client leaves or `closing` is set.

    It takes one token of `followers` and gives it back when it is closed. Raises `HttpError` if there is none.
    """

    def __init__(
        self,
        feed: Feed,
        cursor: int,
        closing: trio.Event,
        followers: trio.CapacityLimiter,
        answers: AnswerBudget | None = None,
    ) -> None:
        # x-accel-buffering is nginx's header: without it, a proxy that buffers answers would delay events.
        kept = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(headers={"content-type": "text/event-stream; charset=utf-8", **kept})
        self._feed = feed
        self._cursor = cursor
        self._closing = closing
        self._followers = followers
        self._answers = answers or AnswerBudget()
        try:
            followers.acquire_on_behalf_of_nowait(self)
        except trio.WouldBlock:
            raise HttpError(503, f"{followers.total_tokens} clients follow events already; try again later") from None

    def close(self) -> None:
        self._followers.release_on_behalf_of(self)

    async def write(self, send: Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_set, self._closing, nursery.cancel_scope)
            await self._follow(send)

    async def _follow(self, send: Send) -> None:
        progress_changes = ProgressChanges(self._feed)
        await _write(send, opening_message(self._cursor))
        written_at = sampled_at = trio.current_time()
        while True:
            with trio.move_on_after(PROGRESS_EVERY_S):
                await self._feed.wait(self._cursor)
            with suppress(CallRefusedError):  # there was no room in time: nothing is lost, because the cursor stays
                async with self._answers.room(EVENTS_BYTES) as room:
                    events = await read_events(self._feed, self._cursor)
                    text = "".join(map(event_message, events))
                    if trio.current_time() - sampled_at >= PROGRESS_EVERY_S:
                        text += "".join(map(progress_message, progress_changes.unsent(lambda _: True)))
                        sampled_at = trio.current_time()
                    if not text and trio.current_time() - written_at >= KEEP_ALIVE_S:
                        text = ": keep-alive\n\n"
                    room.keep(len(text))
                    if text:
                        await _write(send, text)
                        written_at = trio.current_time()
                    if events:
                        self._cursor = events[-1].seq


async def _write(send: Send, text: str) -> None:
    await send(text.encode("ascii"))


async def _cancel_when_set(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
