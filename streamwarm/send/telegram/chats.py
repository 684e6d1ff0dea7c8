"""Reads a lane's name as the Bot API takes it: a chat, and its topic if the name has one. Pure."""

from __future__ import annotations

from typing import NamedTuple

GENERAL_TOPIC = "1"
"""`GENERAL_FORUM_TOPIC_ID` of telegram-bot-api, Client.h."""


class Chat(NamedTuple):
    """`chat_id` and `message_thread_id` of the Bot API, as text. `topic` is None for the chat itself."""

    chat_id: str
    topic: str | None


def moved(lane: int | str, chat_id: str) -> str:
    """Return the address of a lane whose chat has a new id: its topic is the same."""
    return chat_id if (topic := chat_of(lane).topic) is None else f"{chat_id}/{topic}"


def chat_id_of(address: int | str) -> str:
    """Return the chat of a name or address, which names its budget. Telegram ignores the case of an @name."""
    return chat_of(address).chat_id.lower()


def chat_of(lane: int | str) -> Chat:
    """Return the chat of a lane's name or address: `-1001234567890/42` is topic 42 of that supergroup.

    The General topic is the chat itself: the server finds no thread of that number (Client.cpp,
    TdOnCheckForumTopicCallback).
    """
    chat_id, _, topic = str(lane).partition("/")
    return Chat(chat_id, None if topic in {"", GENERAL_TOPIC} else topic)
