"""What the Bot API answers, as values: `{"ok": true, "result": …}` and its errors."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class Reply:
    """An HTTP answer: `payload` becomes the JSON body."""

    status: int
    payload: dict[str, Any]


class BotApiError(Exception):
    """A request the Bot API refuses; `description` is its wording, `parameters` its ResponseParameters
    object."""

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
    """The answer to a request that was carried out."""
    return Reply(200, {"ok": True, "result": result})


def bad_request(reason: str) -> BotApiError:
    """A 400 with the server's usual prefix."""
    return BotApiError(400, f"Bad Request: {reason}")


def too_large() -> BotApiError:
    """What an upload over the server's limit gets, often before it has been read."""
    return BotApiError(413, "Request Entity Too Large")


def too_many_requests(retry_after_s: int) -> BotApiError:
    """A 429; the wait is in whole seconds (https://core.telegram.org/bots/api#responseparameters)."""
    return BotApiError(429, f"Too Many Requests: retry after {retry_after_s}", {"retry_after": retry_after_s})


def migrated(new_chat_id: int) -> BotApiError:
    """The group became a supergroup and has another id now."""
    return BotApiError(
        400,
        "Bad Request: group chat was upgraded to a supergroup chat",
        {"migrate_to_chat_id": new_chat_id},
    )
