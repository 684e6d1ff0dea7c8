"""The sandbox's own addresses: deliveries, faults, rights and traffic over HTTP, for tests in other processes.

- `GET /sandbox/deliveries?after=SEQ&limit=N` and `GET /sandbox/traffic`.
- `/sandbox/faults`: GET (the waiting faults), POST (a `Fault`) and DELETE (all).
- `/sandbox/refusals`: GET (`refusals`, and in `refused` how often each chat refused what), POST (a `ChatRefusal`) and
  DELETE (all; the counts stay).
- `/sandbox/bots`: GET (the `BotTrouble` of each bot that is out), POST (`bot_id` and `trouble`; null: the bot works
  again) and DELETE (all bots work again).
- `/sandbox/topics`: GET (those of each chat) and POST (`chat_id` and the `topics` that it has from now on).

POST takes a JSON object or a list of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import parse_qs

import cattrs
from attrs import asdict, define, frozen
from cattrs.errors import ForbiddenExtraKeysError

from streamwarm.sandbox.bot_api_methods import Telegram
from streamwarm.sandbox.bot_api_replies import BotApiError, Reply, bad_request, success
from streamwarm.sandbox.bot_api_rights import BotTrouble, ChatRefusal
from streamwarm.sandbox.faults import Fault, FaultPlan
from streamwarm.sandbox.http_connection import Request

MAX_PAGE = 1000
"""The most deliveries in one answer: about half a megabyte."""

_Form = TypeVar("_Form")
_CONVERTER = cattrs.Converter(forbid_extra_keys=True, detailed_validation=False)


@define
class Traffic:
    """Counts since the start. `uploads_peak` is the most uploads that were open at one time."""

    requests: int = 0
    uploads_open: int = 0
    uploads_peak: int = 0
    upload_bytes: int = 0
    faults: int = 0

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count one upload as open inside the block."""
        self.uploads_open += 1
        self.uploads_peak = max(self.uploads_peak, self.uploads_open)
        try:
            yield
        finally:
            self.uploads_open -= 1


def answer_control(request: Request, body: bytes, telegram: Telegram, faults: FaultPlan, traffic: Traffic) -> Reply:
    """Answer a request under `/sandbox/`. Raises `BotApiError`."""
    match request.method, request.path:
        case "GET", "/sandbox/deliveries":
            return success(_deliveries(request.query, telegram))
        case "GET", "/sandbox/traffic":
            return success(asdict(traffic))
        case "GET", "/sandbox/faults":
            return success([asdict(fault) for fault in faults.waiting])
        case "POST", "/sandbox/faults":
            return success(_each(body, Fault, faults.add))
        case "DELETE", "/sandbox/faults":
            faults.clear()
            return success(True)
        case _, "/sandbox/refusals" | "/sandbox/bots" | "/sandbox/topics":
            return success(_answer_rights(request, body, telegram))
        case _:
            raise BotApiError(404, "Not Found: see bot_api_control.py for what the sandbox answers")


def _deliveries(query: str, telegram: Telegram) -> dict[str, Any]:
    """Return a page of deliveries. `last_seq` is the number of all deliveries; a gap after `after` means that older
    ones were dropped at `keep`."""
    given = parse_qs(query)
    try:
        after, limit = (int(given.get(name, [default])[0]) for name, default in (("after", "0"), ("limit", "1000")))
    except ValueError as error:
        raise bad_request("after and limit must be whole numbers") from error
    dropped = telegram.delivered - len(telegram.deliveries)
    start = max(0, after - dropped)
    page = islice(telegram.deliveries, start, start + max(0, min(limit, MAX_PAGE)))
    return {"deliveries": [asdict(delivery) for delivery in page], "last_seq": telegram.delivered}


def _answer_rights(request: Request, body: bytes, telegram: Telegram) -> Any:
    """Answer a request about what bots and chats refuse."""
    rights = telegram.rights
    match request.method, request.path:
        case "GET", "/sandbox/refusals":
            refused = [{**one._asdict(), "times": times} for one, times in rights.refused.items()]
            return {"refusals": [asdict(refusal) for refusal in rights.refusals], "refused": refused}
        case "POST", "/sandbox/refusals":
            return _each(body, ChatRefusal, rights.refuse)
        case "DELETE", "/sandbox/refusals":
            rights.clear_refusals()
        case "GET", "/sandbox/bots":
            return rights.bots
        case "POST", "/sandbox/bots":
            return _each(body, _BotState, partial(_set_bot, telegram))
        case "DELETE", "/sandbox/bots":
            rights.clear_bots()
        case "GET", "/sandbox/topics":
            return {chat_id: sorted(topics) for chat_id, topics in rights.topics.items()}
        case "POST", "/sandbox/topics":
            return _each(body, _Topics, partial(_set_topics, telegram))
        case _:
            raise bad_request("topics cannot be removed: POST the ones that the chat has")
    return True


@frozen
class _BotState:
    bot_id: int
    trouble: BotTrouble | None


@frozen
class _Topics:
    chat_id: int
    topics: tuple[int, ...]


def _set_bot(telegram: Telegram, state: _BotState) -> None:
    if state.bot_id not in {bot.id for bot in telegram.bots.values()}:
        raise ValueError(f"the sandbox has no bot {state.bot_id}")
    telegram.rights.set_bot(state.bot_id, state.trouble)


def _set_topics(telegram: Telegram, chat: _Topics) -> None:
    if chat.chat_id not in telegram.chats:
        raise ValueError(f"the sandbox has no chat {chat.chat_id}")
    telegram.rights.set_topics(chat.chat_id, chat.topics)


def _each(body: bytes, form: type[_Form], take: Callable[[_Form], None]) -> int:
    """Read the body as one `form` or a list of them, let `take` have each, and return how many they were. If one cannot
    be read, none is taken. Raises `BotApiError`."""
    try:
        given = json.loads(body)
        found = [_read(members, form) for members in (given if isinstance(given, list) else [given])]
        for one in found:
            take(one)
    except (ValueError, TypeError, KeyError, RecursionError, ForbiddenExtraKeysError) as error:
        raise bad_request(f"not a {form.__name__.strip('_')}: {error}") from error
    return len(found)


def _read(members: Any, form: type[_Form]) -> _Form:
    if not isinstance(members, dict):
        raise TypeError(f"expected a JSON object whose members are those of {form.__name__.strip('_')}")
    return _CONVERTER.structure(members, form)
