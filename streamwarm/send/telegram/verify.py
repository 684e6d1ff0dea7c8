"""Whether a `file_id` still works, as far as `getFile` says it. Pure.

`getFile` sends nothing, but Telegram's server fetches the file for it, up to 20 MB. For a larger one it says "file is
too big" by what it remembers of the file, without asking for it. So that proves nothing, and it is not asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamwarm.errors import DestinationError, ErrorCode
from streamwarm.redact import Redactor, quote
from streamwarm.send.telegram.refusals import read_error
from streamwarm.send.verifying import Verified, Works

MAX_GET_FILE_BYTES = 20_000_000
"""The largest file that `getFile` fetches (https://core.telegram.org/bots/api#getfile). A local Bot API server would
fetch more, onto its own disk; it is not made to."""

TOO_LARGE = Verified(
    Works.UNPROVEN, f"Telegram checks no file over {MAX_GET_FILE_BYTES // 1_000_000} MB without sending it"
)

_WRONG = ("invalid file_id", "wrong file_id", "wrong file identifier", "wrong remote file", "file_id is invalid")
"""What Telegram says of an id that is none, that is another bot's, or whose file it does not have any more."""


def is_checkable(result: Mapping[str, Any]) -> bool:
    """Whether the file is small enough, or its size is not known."""
    size_bytes = result.get("bytes")
    return not isinstance(size_bytes, int) or size_bytes <= MAX_GET_FILE_BYTES


def read_get_file(status: int, body: bytes, retry_after: str | None, redact: Redactor) -> Verified:
    """What an answer to `getFile` says. Raises `DestinationError` for a refusal that is not about the file."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        answer = {}
        if status < 400:
            message = f"the Bot API answered HTTP {status} with something that is not JSON; a proxy may be in between"
            raise DestinationError(ErrorCode.DESTINATION_UNAVAILABLE, message)
    if answer.get("ok") is True:
        return Verified(Works.GOOD)
    description = answer.get("description")
    folded = description.lower() if isinstance(description, str) else ""
    if answer.get("error_code", status) == 400 and folded:
        if "file is too big" in folded:
            return TOO_LARGE
        works = Works.BAD if any(words in folded for words in _WRONG) else Works.UNPROVEN
        return Verified(works, f"Telegram answered 400: {quote(str(description), redact)}")
    raise read_error(status, answer, retry_after=retry_after, redact=redact)
