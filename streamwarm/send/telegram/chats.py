"""Reads a lane's name as the Bot API takes it: a chat, and its topic if the name has one. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Chat(NamedTuple):
    """`chat_id` and `message_thread_id` of the Bot API, as text. `topic` is None for the chat itself."""

    chat_id: str
    topic: str | None


def chat_of(lane: int | str) -> Chat:
    """Return the chat of a lane's name or address: `-1001234567890/42` is topic 42 of that supergroup."""
    chat_id, _, topic = str(lane).partition("/")
    return Chat(chat_id, topic or None)
