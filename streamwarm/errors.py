"""The failures of streamwarm as one small tree. Each says whose fault it was, whether to try again, and when.

Exceptions of libraries (httpx, h11, ssl, OSError, sqlite3) are translated into this tree where they enter. `fetch`
raises `SourceError`, `send` raises `DestinationError`, and `backlog` raises `StoreUnavailable`. Code above those
folders catches no library's exception.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from attrs import frozen

Code = TypeVar("Code", bound=StrEnum)


def code_of(codes: type[Code], text: str) -> Code:
    """The member of `codes` that has this value.

    A newer version that shares the store may have more. A value that is not listed here becomes a member of its own,
    which no loop over `codes` finds. So it is stored, shown and sent on as it is.
    """
    known = codes._value2member_map_.get(text)
    if isinstance(known, codes):
        return known
    unlisted = str.__new__(codes, text)
    unlisted._name_ = unlisted._value_ = text
    return unlisted


def is_listed(code: StrEnum) -> bool:
    """Whether this version knows the code."""
    return code.value in type(code)._value2member_map_


class ErrorCode(StrEnum):
    """Every `error.code` there is (contract, section 5)."""

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
"""Codes that another attempt cannot fix. The code that raises the error may decide otherwise (`permanent`)."""


PASSING = frozenset(
    {
        ErrorCode.SOURCE_CHANGED,
        ErrorCode.SOURCE_TRUNCATED,
        ErrorCode.SOURCE_UNAVAILABLE,
        ErrorCode.TIMEOUT,
        ErrorCode.DESTINATION_UNAVAILABLE,
    }
)
"""Codes of trouble that usually passes by itself, such as an outage. `retry.PATIENCE_S` says how long a job waits for
that. `delivery_unknown` is not among them: each further attempt may deliver the file once more, unless it is
`repeatable`."""


LONGEST_WAIT_S = 86_400.0
"""The longest wait that a peer may ask for, in seconds. The number comes from outside: without a bound, one wrong
`Retry-After` would stop a destination for years."""


@frozen
class JobError:
    """A failure as stored and shown: `{"code", "message", "permanent"}`. The message contains no secret."""

    code: ErrorCode
    message: str
    permanent: bool


class AttemptError(Exception):
    """An attempt failed for a known reason.

    `permanent`: another attempt cannot succeed. The default follows `PERMANENT`.
    `retry_after_s`: how long the peer asked us to wait, in seconds; None leaves it to the back-off.
    `counts`: False if the attempt does not count against `max_attempts` (a 429, a revoked token).
    `repeatable`: a lost answer (`delivery_unknown`) after which another attempt can duplicate nothing.
    """

    repeatable = False

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
        """Replace the message everywhere in this error, so that no traceback shows the old one."""
        self.message = message
        self.args = (message,)

    @property
    def passing(self) -> bool:
        """Whether the trouble usually passes by itself, so that a job should outlast it."""
        return (self.code in PASSING or self.repeatable) and not self.permanent

    def as_job_error(self) -> JobError:
        return JobError(self.code, self.message, self.permanent)


class Blame(StrEnum):
    """What a `SourceError` is about."""

    OBJECT = "object"
    BUCKET = "bucket"
    """Every request is refused or fails alike."""
    UNSURE = "unsure"
    """The object or the bucket: a probe of the bucket finds out."""
    PAUSED = "paused"
    """The bucket is paused, so it was not asked."""


_UNSURE = frozenset({ErrorCode.SOURCE_UNAVAILABLE, ErrorCode.SOURCE_TRUNCATED, ErrorCode.TIMEOUT})
"""Codes of trouble that may be the bucket's. `source_changed` is passing, too, but it is of one object."""


class SourceError(AttemptError):
    """The object could not be read. `blame` says what is at fault; passing trouble may be either's."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        permanent: bool | None = None,
        retry_after_s: float | None = None,
        counts: bool = True,
        blame: Blame | None = None,
    ) -> None:
        super().__init__(code, message, permanent=permanent, retry_after_s=retry_after_s, counts=counts)
        self.blame = blame or (Blame.UNSURE if code in _UNSURE else Blame.OBJECT)

    def decide(self, *, is_of_the_bucket: bool) -> None:
        """Settle the blame. If it is the bucket's, the attempt does not count and the job is queued again at once."""
        self.blame = Blame.BUCKET if is_of_the_bucket else Blame.OBJECT
        self.counts = not is_of_the_bucket
        if is_of_the_bucket:
            self.permanent, self.retry_after_s = False, 0.0


class SourceOffline(SourceError):
    """The bucket is paused, so it was not asked for the object. The job waits for the end of the pause.

    `wait_s`: how long the job waits before it is tried again, in seconds. Without a wait, a job whose own object is in
    the cache would be tried again at once, and as often as it fails.
    """

    wait_s = 0.0

    def __init__(self, r2_key: str) -> None:
        super().__init__(
            ErrorCode.SOURCE_UNAVAILABLE,
            f"the bucket is paused, so it was not asked for {r2_key!r}; the job waits until the bucket can be read",
            counts=False,
            blame=Blame.PAUSED,
        )

    def decide(self, *, is_of_the_bucket: bool) -> None:
        super().decide(is_of_the_bucket=is_of_the_bucket)
        self.retry_after_s = self.wait_s


class DestinationError(AttemptError):
    """The destination refused the object or could not take it.

    `pauses_destination`: nothing may be sent to the destination until `retry_after_s` has passed. If that is None, it
    is paused until a user resumes it (a revoked token). `pauses_lane`: the same for the attempt's lane alone.
    `pauses_kind`: the same for the attempt's lane and jobs of the attempt's kind, or of the kind `sent_as` if that is
    another one (a photo that went as a document). `is_unclear`: the refusal does not say whether the object or the lane
    is at fault, so other attempts decide (`dispatch/evidence.py`).
    """

    sent_as: str | None = None

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
        pauses_kind: bool = False,
        is_unclear: bool = False,
    ) -> None:
        super().__init__(code, message, permanent=permanent, retry_after_s=retry_after_s, counts=counts)
        self.pauses_destination = pauses_destination
        self.pauses_lane = pauses_lane
        self.pauses_kind = pauses_kind
        self.is_unclear = is_unclear

    @property
    def pauses(self) -> bool:
        return self.pauses_destination or self.pauses_lane or self.pauses_kind


class LaneMoved(DestinationError):
    """The lane has a new address. The attempt is repeated there at once and does not count."""

    def __init__(self, message: str, address: str, *, retry_after_s: float) -> None:
        """`retry_after_s`: how long the lane is set aside, in seconds, if the new address fails too."""
        super().__init__(
            ErrorCode.CHAT_UNAVAILABLE, message, retry_after_s=retry_after_s, counts=False, pauses_lane=True
        )
        self.address = address


class StaleConnection(DestinationError):
    """The peer closed a kept-alive connection before it took a byte. Worth one retry at once on a new connection."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.DESTINATION_UNAVAILABLE, message)


class StoreUnavailable(Exception):
    """The store failed to write or to answer. Nothing of that call is committed."""


class UnreadableRow(Exception):
    """A row of the store cannot be read by this version. The message names the row, the column and the remedy."""


class StoreLocked(StoreUnavailable):
    """Another service has this store open. The message names it and the remedy.

    `leftover`: the process that started that service has died, and the others of it end soon.
    """

    def __init__(self, message: str, *, leftover: bool = False) -> None:
        super().__init__(message)
        self.leftover = leftover


class SettingsError(Exception):
    """The configuration is wrong. The message names the file, the key, the problem and what is allowed."""


class InvalidJob(ValueError):
    """The destination cannot take this job. The message says why and what is allowed."""


class InvalidOptions(InvalidJob):
    """The destination cannot take this job's `options`. The message names the option and what is allowed."""
