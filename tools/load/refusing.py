"""Makes a share of the sandbox's chats refuse what is sent there, and counts what that costs.

In turn, a chat refuses one kind in the words of Telegram's server, or everything in words that nobody knows. Each bot
keeps at least one chat that refuses nothing, so no job may fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from load.ledger import Record
from load.options import Mix
from load.spread import spread_ms

UNKNOWN_WORDS = "Bad Request: SANDBOX_CHAT_TAKES_NOTHING"
"""No table of refusals may have them."""

KINDS: dict[Mix, tuple[str, ...]] = {
    Mix.PHOTOS: ("photo",),
    Mix.VIDEOS: ("video",),
    Mix.HUGE: ("document",),
    Mix.MIXED: ("photo", "video"),
}
"""The kinds that each mix pushes."""


@frozen
class RefusingChat:
    """One chat of a bot. `kind` is the one that it refuses, None: it refuses everything, in unknown words."""

    destination: str
    chat_id: int
    kind: str | None

    def as_rule(self) -> dict[str, Any]:
        """As the emulator takes it. Without a description, it uses the words of Telegram's server."""
        if self.kind is None:
            return {"chat_id": self.chat_id, "description": UNKNOWN_WORDS}
        return {"chat_id": self.chat_id, "kinds": [self.kind]}


@frozen
class RefusingChats:
    """The chats of a run that refuse something, `of` so many; each bot has at least `healthy` others."""

    chats: tuple[RefusingChat, ...]
    of: int
    healthy: int

    def rules(self) -> list[dict[str, Any]]:
        return [chat.as_rule() for chat in self.chats]

    def cost(self, records: Sequence[Record], refused: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """What the refusals cost. `refused` are the emulator's counts.

        Jobs that must fail (`--bad`) are not counted as failed. `refused_jobs` were sent more than once, for whatever
        reason; `refused_push_to_done_ms` and `other_push_to_done_ms` show how long they took, and how long all others.
        """
        by_job = {record.id: record for record in records if record.id is not None and not record.duplicate}
        done = [record for record in by_job.values() if record.state == "done"]
        by_chat = [
            {name: one[name] for name in ("chat_id", "kind", "description")} | {"uploads": one["times"]}
            for one in refused
        ]
        return {
            "chats": len(self.chats),
            "of": self.of,
            "healthy_of_each_bot": self.healthy,
            "uploads_refused": sum(one["uploads"] for one in by_chat),
            "most_by_one_chat_of_one_kind": max((one["uploads"] for one in by_chat), default=0),
            "by_chat_and_kind": by_chat,
            "jobs_done": len(done),
            "jobs_failed": sum(record.state == "failed" and not record.as_expected for record in by_job.values()),
            "refused_jobs": sum(record.sends > 1 for record in by_job.values()),
            "refused_push_to_done_ms": _push_to_done_ms(record for record in done if record.sends > 1),
            "other_push_to_done_ms": _push_to_done_ms(record for record in done if record.sends <= 1),
        }


def choose_refusing(chats: Mapping[str, Sequence[int]], share: float, mix: Mix) -> RefusingChats:
    """Choose that share of each bot's chats, at least one and all but one at most."""
    counts = {name: min(len(own) - 1, max(1, round(share * len(own)))) for name, own in chats.items()}
    chosen = [(name, chat) for name, own in chats.items() for chat in own[: counts[name]]]
    kinds = KINDS[mix]
    refusing = tuple(
        RefusingChat(name, chat, None if number % 2 else kinds[number // 2 % len(kinds)])
        for number, (name, chat) in enumerate(chosen)
    )
    healthy = min(len(own) - counts[name] for name, own in chats.items())
    return RefusingChats(refusing, sum(map(len, chats.values())), healthy)


def _push_to_done_ms(records: Iterable[Record]) -> dict[str, float | None]:
    return spread_ms([record.push_to_end_s for record in records if record.push_to_end_s is not None])
