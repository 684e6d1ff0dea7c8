"""One small tree of failures. Each member says whose fault it was, whether to try again, and when.

Foreign exceptions (httpx, h11, ssl, OSError, sqlite3) are translated into this tree where they enter: `fetch` raises
`SourceError`, `send` raises `DestinationError`, `backlog` raises `StoreUnavailable`. Nothing above those folders
catches a foreign exception.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class ErrorCode(StrEnum):
    """The closed list of `error.code` (contract, section 5)."""

    SOURCE_NOT_FOUND = "source_not_found"
    SOURCE_EMPTY = "source_empty"
    SOURCE_REFUSED = "source_refused"
    SOURCE_CHANGED = "source_changed"
    SOURCE_TRUNCATED = "source_truncated"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SHA256_MISMATCH = "sha256_mismatch"
    TOO_LARGE = "too_large"
    BAD_PHOTO = "bad_photo"
    DESTINATION_REFUSED = "destination_refused"
    CHAT_UNAVAILABLE = "chat_unavailable"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    DESTINATION_UNAVAILABLE = "destination_unavailable"
    WORKER_LOST = "worker_lost"
    DELIVERY_UNKNOWN = "delivery_unknown"


PERMANENT = frozenset(
    {
        ErrorCode.SOURCE_NOT_FOUND,
        ErrorCode.SOURCE_EMPTY,
        ErrorCode.SOURCE_REFUSED,
        ErrorCode.SHA256_MISMATCH,
        ErrorCode.TOO_LARGE,
        ErrorCode.BAD_PHOTO,
        ErrorCode.DESTINATION_REFUSED,
    }
)
"""Codes that another attempt cannot mend, unless the raiser knows better."""


LONGEST_WAIT_S = 86_400.0
"""However long a far side asks us to stay away, we ask again within a day: the number is a stranger's."""


@frozen
class JobError:
    """A failure as stored and shown: `{"code", "message", "permanent"}`. The message never holds a secret."""

    code: ErrorCode
    message: str
    permanent: bool


class AttemptError(Exception):
    """An attempt failed for a reason we can name.

    `permanent`: another attempt cannot succeed; by default what `PERMANENT` says of the code.
    `retry_after_s`: the far side said how long to stay away; None leaves it to the back-off.
    `counts`: False where the attempt was not used up (a 429, a revoked token).
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        permanent: bool | None = None,
        retry_after_s: float | None = None,
        counts: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.permanent = code in PERMANENT if permanent is None else permanent
        self.retry_after_s = None if retry_after_s is None else min(retry_after_s, LONGEST_WAIT_S)
        self.counts = counts

    def reword(self, message: str) -> None:
        """Tell the same in other words, so that the old ones are found nowhere any more."""
        self.message = message
        self.args = (message,)

    def as_job_error(self) -> JobError:
        return JobError(self.code, self.message, self.permanent)


class SourceError(AttemptError):
    """The object could not be read as it should be: R2's fault, or the object's."""


class DestinationError(AttemptError):
    """The destination would not or could not take the object.

    `pauses_destination`: nothing else may be sent there before `retry_after_s` has passed, or, where that is None,
    before somebody resumes it (a revoked token). `pauses_lane`: the same of the lane alone that it was sent to.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        permanent: bool | None = None,
        retry_after_s: float | None = None,
        counts: bool = True,
        pauses_destination: bool = False,
        pauses_lane: bool = False,
    ) -> None:
        super().__init__(code, message, permanent=permanent, retry_after_s=retry_after_s, counts=counts)
        self.pauses_destination = pauses_destination
        self.pauses_lane = pauses_lane

    @property
    def pauses(self) -> bool:
        return self.pauses_destination or self.pauses_lane


class LaneMoved(DestinationError):
    """The lane is reached at another address by now: the attempt is repeated there at once, and is not used up."""

    def __init__(self, message: str, address: str, *, retry_after_s: float) -> None:
        """`retry_after_s`: how long the lane is out where it is not even there."""
        super().__init__(
            ErrorCode.CHAT_UNAVAILABLE, message, retry_after_s=retry_after_s, counts=False, pauses_lane=True
        )
        self.address = address


class StaleConnection(DestinationError):
    """The connection was gone before it took a byte, as a kept-alive one may be: worth one fresh try at once."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.DESTINATION_UNAVAILABLE, message)


class StoreUnavailable(Exception):
    """The store did not take a write or answer a read; nothing of that call is committed."""


class StoreLocked(StoreUnavailable):
    """Another service holds this store; the message names it and the remedy."""


class SettingsError(Exception):
    """The configuration is wrong; the message names the file, the key, the problem and what is allowed."""


class InvalidJob(ValueError):
    """A job does not fit its destination; the message says why and what is allowed."""


class InvalidOptions(InvalidJob):
    """A job's `options` do not fit its destination; the message names the option and what is allowed."""
