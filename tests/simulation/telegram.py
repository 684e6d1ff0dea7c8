"""The Bot API as a pure core: it makes messages of uploads, counts them against the rates, and has its faults."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from attrs import define, field, frozen

from tests.simulation.faults import Faults
from tests.simulation.plan import FaultKind, Sort
from tests.simulation.serving import FINE, Answer, Mishap, Request

CHAT_MESSAGES, CHAT_WINDOW_S = 20, 60.0
BOT_MESSAGES, BOT_WINDOW_S = 30, 1.0
"""What a group takes in a minute, and a bot in a second (docs/telegram.md). Nothing more is let pass here."""

UNKNOWN_WORDS = "CHAT_MOOD_FORBIDDEN"
CLOSED_WORDS = "not enough rights to send documents to the chat"

_TOLERANCE_S = 1e-6


@frozen
class Message:
    """One upload that became a message: when (virtual seconds), and with which caption, which tells its job."""

    at_s: float
    token: str
    chat: str
    caption: str
    file_id: str
    sha256: str


@define(eq=False)
class Telegram:
    """`tokens` has each bot's token by the name of its destination. `revoked` are the names of bots answered 401.

    `refusing` has the words with which a chat refuses every upload, by its id. `refused` are the captions of
    files that Telegram refused; `breaches` are requests that a client must never send.
    """

    tokens: Mapping[str, str]
    _now_s: Callable[[], float]
    _faults: Faults
    revoked: set[str] = field(factory=set)
    messages: list[Message] = field(factory=list)
    refusing: dict[str, str] = field(factory=dict)
    refused: set[str] = field(factory=set)
    breaches: list[str] = field(factory=list)
    leaps: list[tuple[float, float]] = field(factory=list)
    """When a host's wall clock was set forward, and by how much: its budgets age by that (`SteadyClock`)."""
    spare: Callable[[float], int] = lambda _: 0
    """How many messages may come on top of a budget since a time, from hosts that were counted out."""

    def mishap(self, request: Request) -> Mishap:
        if not self._method(request).startswith("send"):
            return FINE
        fault = self._faults.take(Sort.TELEGRAM)
        if fault is None:
            return FINE
        match fault.kind:
            case FaultKind.TELEGRAM_SLOW:
                return Mishap(late_s=fault.amount)
            case FaultKind.ANSWER_LOST:
                return Mishap(answer_cut=0.0)
            case FaultKind.ANSWER_CUT:
                return Mishap(answer_cut=fault.amount)
            case FaultKind.UPLOAD_CUT:
                return Mishap(upload_cut=fault.amount)
            case FaultKind.UPLOAD_STALL:
                return Mishap(upload_stall_s=fault.amount)
            case FaultKind.UPLOAD_REFUSED:
                return Mishap(upload_refusal=_page(502, request))
            case FaultKind.TOO_MANY:
                wait = _refusal(429, f"Too Many Requests: retry after {fault.of}", retry_after=fault.of)
                return Mishap(answer=lambda _: wait)
            case FaultKind.FILE_REFUSED:
                return Mishap(answer=lambda body: self._refuse_file(request, body))
            case _:
                return Mishap(answer=lambda _: _page(fault.of, request))

    def answer(self, request: Request, body: bytes) -> Answer:
        names = [name for name, token in self.tokens.items() if request.path.startswith(f"/bot{token}/")]
        if not names or names[0] in self.revoked:
            return _refusal(401, "Unauthorized")
        if not self._method(request).startswith("send"):
            return _json(200, {"ok": True, "result": True})
        fields, content = read_form(request, body)
        if (words := self.refusing.get(fields["chat_id"])) is not None:
            return _refusal(400, f"Bad Request: {words}")
        message = self._make(self.tokens[names[0]], fields, content)
        document = {"file_id": message.file_id, "file_unique_id": message.sha256[:16]}
        made = {"message_id": len(self.messages), "chat": {"id": int(message.chat)}, "document": document}
        return _json(200, {"ok": True, "result": made})

    def _make(self, token: str, fields: Mapping[str, str], content: bytes) -> Message:
        digest = hashlib.sha256(content).hexdigest()
        file_id = f"file-{len(self.messages)}-{digest[:8]}"
        message = Message(self._now_s(), token, fields["chat_id"], fields.get("caption", ""), file_id, digest)
        self.messages.append(message)
        self._count(message, CHAT_MESSAGES, CHAT_WINDOW_S, lambda other: other.chat == message.chat)
        self._count(message, BOT_MESSAGES, BOT_WINDOW_S, lambda other: other.token == message.token)
        return message

    def _count(self, message: Message, most: int, window_s: float, counts: Callable[[Message], bool]) -> None:
        since_s = message.at_s - window_s + _TOLERANCE_S
        since_s += sum(by_s for at_s, by_s in self.leaps if at_s >= since_s)
        taken = sum(other.at_s > since_s and counts(other) for other in self.messages)
        if taken > most and taken > most + self.spare(since_s):
            name = message.chat if window_s == CHAT_WINDOW_S else "a bot"
            self.breaches.append(
                f"{name} got {taken} messages in {window_s:g} s at {message.at_s:.3f}: {message.caption}"
            )

    def _refuse_file(self, request: Request, body: bytes) -> Answer:
        self.refused.add(read_form(request, body)[0].get("caption", ""))
        return _refusal(400, "Bad Request: wrong file identifier/HTTP URL specified")

    def _method(self, request: Request) -> str:
        return request.path.rpartition("/")[2]


def read_form(request: Request, body: bytes) -> tuple[dict[str, str], bytes]:
    """The texts of an upload's form, and its file's content."""
    found = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
    assert found is not None
    fields: dict[str, str] = {}
    content = b""
    for part in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        assert name is not None
        if b"filename=" in head:
            content = value.removesuffix(b"\r\n")
        else:
            fields[name[1].decode()] = value.removesuffix(b"\r\n").decode()
    return fields, content


def _page(status: int, request: Request) -> Answer:
    """What a proxy may answer: a page that quotes the request, and with it the bot's token."""
    return Answer(status, [("Content-Type", "text/html")], f"<html>{status}: {escape(request.target)}</html>".encode())


def _refusal(code: int, description: str, **parameters: int) -> Answer:
    refusal: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return _json(code, refusal | ({"parameters": parameters} if parameters else {}))


def _json(status: int, value: object) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(value).encode())
