"""Telegram's sending rates as token buckets, with the time passed in.

Figures (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this): one message a
second in a chat, where short bursts pass; 20 a minute in a group; about 30 a second for a bot.
"""

from __future__ import annotations

from attrs import define, field


@define
class TokenBucket:
    """Holds up to `burst` tokens and regains `per_s` of them a second; a message takes one."""

    per_s: float
    burst: float
    _tokens: float = field(init=False)
    _filled_at: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def wait_s(self, now: float) -> float:
        """How long until a token is there; 0 when one is."""
        if self._filled_at is not None:
            regained = max(0.0, now - self._filled_at) * self.per_s
            self._tokens = min(self.burst, self._tokens + regained)
        self._filled_at = now
        return max(0.0, (1.0 - self._tokens) / self.per_s)

    def take(self) -> None:
        self._tokens -= 1.0


def _bot_bucket() -> TokenBucket:
    return TokenBucket(per_s=30.0, burst=30.0)


def _chat_bucket() -> TokenBucket:
    return TokenBucket(per_s=1.0, burst=5.0)


def _group_bucket() -> TokenBucket:
    return TokenBucket(per_s=20 / 60, burst=20.0)


@define
class RateLimits:
    """Every bot's budget, per chat and altogether. Bots and chats are those of the settings, so it cannot
    grow."""

    _bots: dict[int, TokenBucket] = field(factory=dict)
    _chats: dict[tuple[int, int], list[TokenBucket]] = field(factory=dict)

    def take(self, bot_id: int, chat_id: int, *, group: bool, now: float) -> float:
        """Count one message. Returns 0 if it may be sent, else the seconds to wait; then nothing is
        counted."""
        chat_buckets = self._chats.setdefault(
            (bot_id, chat_id), [_chat_bucket(), _group_bucket()] if group else [_chat_bucket()]
        )
        buckets = [self._bots.setdefault(bot_id, _bot_bucket()), *chat_buckets]
        wait_s = max(bucket.wait_s(now) for bucket in buckets)
        if wait_s == 0.0:
            for bucket in buckets:
                bucket.take()
        return wait_s
