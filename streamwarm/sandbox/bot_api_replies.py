"""The Bot API's answers as values: `{"ok": true, "result": …}` and its errors."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class Reply:
    """An HTTP answer: `payload` becomes the JSON body."""

    status: int
    payload: dict[str, Any]


class BotApiError(Exception):
    """A refusal. `description` is the Bot API's wording, `parameters` its ResponseParameters object."""

    def __init__(self, status: int, description: str, parameters: dict[str, int] | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters

    @property
    def reply(self) -> Reply:
        payload: dict[str, Any] = {"ok": False, "error_code": self.status, "description": self.description}
        if self.parameters:
            payload["parameters"] = self.parameters
        return Reply(self.status, payload)


def success(result: Any) -> Reply:
    """Return the answer to a request that succeeded."""
    return Reply(200, {"ok": True, "result": result})


def bad_request(reason: str) -> BotApiError:
    """Return a 400 with the server's usual prefix."""
    return BotApiError(400, f"Bad Request: {reason}")


def too_large() -> BotApiError:
    """Return the refusal of an upload over the server's limit, which often comes before it was read."""
    return BotApiError(413, "Request Entity Too Large")


def too_many_requests(retry_after_s: int) -> BotApiError:
    """Return a 429. The wait is in whole seconds (https://core.telegram.org/bots/api#responseparameters)."""
    return BotApiError(429, f"Too Many Requests: retry after {retry_after_s}", {"retry_after": retry_after_s})


def migrated(new_chat_id: int) -> BotApiError:
    """Return the refusal for a group that became a supergroup and has another id now."""
    return BotApiError(
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        {"migrate_to_chat_id": new_chat_id},
    )
