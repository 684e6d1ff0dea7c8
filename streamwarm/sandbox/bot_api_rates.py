"""Telegram's sending rates as sliding windows. The time is passed in; the time when a message is made counts.

Figures (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this): one message per second in a
chat, 20 per minute in a group, about 30 per second for a bot. Telegram lets short bursts pass. The emulator does not,
so a client that passes here keeps the rates exactly. Files of identical size are spaced as the open server does it
(telegram-bot-api, `Client::on_cmd`).
"""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

_TOLERANCE_S = 1e-6
"""The difference that is ignored: two equal times can differ in their last digit."""

_SPACED_BYTES = 100_000
_MOST_BEHIND_S = 5.0
_BUCKET_S = 1.0


@frozen
class Window:
    """At most `messages` in any `per_s` seconds."""

    messages: int
    per_s: float


@frozen
class RateRules:
    """The rates to enforce, Telegram's by default. `equal_sizes`: space files of identical size."""

    bot: Window = Window(30, 1.0)
    chat: Window = Window(1, 1.0)
    group: Window = Window(20, 60.0)
    equal_sizes: bool = True


@define
class _Sent:
    """When the last messages of one window were made."""

    window: Window
    _at: deque[float] = field(factory=deque)

    def wait_s(self, now: float) -> float:
        """Return the seconds until one more is allowed, 0 if it is allowed now."""
        if len(self._at) < self.window.messages:
            return 0.0
        wait_s = self._at[0] + self.window.per_s - now
        return wait_s if wait_s > _TOLERANCE_S else 0.0

    def add(self, now: float) -> None:
        self._at.append(now)
        if len(self._at) > self.window.messages:
            self._at.popleft()


@define
class RateLimits:
    """Every bot's budget, per chat and in all. Memory is bounded: bots and chats are those of the settings, and sizes
    are forgotten once they no longer matter."""

    rules: RateRules = field(factory=RateRules)
    _bots: dict[int, _Sent] = field(factory=dict)
    _chats: dict[tuple[int, int], list[_Sent]] = field(factory=dict)
    _sizes: dict[tuple[int, int], float] = field(factory=dict)

    def take(self, bot_id: int, chat_id: int, *, group: bool, now: float) -> float:
        """Count one message and return 0, or return the seconds to wait and count nothing."""
        rules = self.rules
        of_chat = [rules.chat, rules.group] if group else [rules.chat]
        sent = [
            self._bots.setdefault(bot_id, _Sent(rules.bot)),
            *self._chats.setdefault((bot_id, chat_id), [_Sent(window) for window in of_chat]),
        ]
        wait_s = max(one.wait_s(now) for one in sent)
        if wait_s == 0.0:
            for one in sent:
                one.add(now)
        return wait_s

    def equal_size_delay_s(self, bot_id: int, size_bytes: int, now: float) -> float | None:
        """Return how long an upload is delayed because of others of the same size, or None if it is refused."""
        if not self.rules.equal_sizes or size_bytes <= _SPACED_BYTES:
            return 0.0
        self._sizes = {key: at for key, at in self._sizes.items() if at > now - 2 * _BUCKET_S}
        delay_s = min(max(size_bytes * 1e-7, 0.2), 0.9)
        last = self._sizes.get((bot_id, size_bytes), now - _BUCKET_S - delay_s)
        if last > now + _MOST_BEHIND_S:
            return None
        at = self._sizes[bot_id, size_bytes] = max(last + delay_s, now - _BUCKET_S)
        return max(0.0, at - now)
