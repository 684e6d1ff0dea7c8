"""What happens in one run, drawn from a seed (`drawing.py`): objects, jobs, what people do, and which faults. Pure.

A plan's items do not depend on one another, so one can be left out (`shrink.py`) and the rest stays as it was. A fault
of a peer is due at a time and strikes the next request that it fits, if one comes before `FAULTS_END_S`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

FAULTS_END_S = 80.0
"""When the last fault ends, in virtual seconds. People act before `PEOPLE_END_S`."""

PEOPLE_END_S = 30.0
CHATS = {"mybot": (-1001, -1002), "holdbot": (-1003,)}
"""The destinations and their warm-up chats. `holdbot` holds what is unknown, `mybot` sends it again."""


FOR_GOOD_S = 1_000.0
"""An object that is deleted for so long is not put back when the faults end."""


class Sort(StrEnum):
    """Who makes a fault happen."""

    R2 = "r2"
    VERSION = "version"
    TELEGRAM = "telegram"
    HOST = "host"
    STORE = "store"
    WORLD = "world"


class FaultKind(StrEnum):
    """Every fault there is; `SORTS` says whose it is. `amount` and `of` of a `Fault` mean what is written here."""

    R2_SLOW = "r2_slow"
    """The answer comes `amount` seconds late."""
    R2_CUT = "r2_cut"
    """The connection ends after the share `amount` of the answer's bytes, cleanly."""
    R2_STALL = "r2_stall"
    """Half of the answer, then silence for `amount` seconds."""
    R2_LOST = "r2_lost"
    """The request was read, and the connection ends without an answer."""
    R2_STATUS = "r2_status"
    """A passing status, `of`, with a page that quotes the request."""
    R2_DOWN = "r2_down"
    """Every request is answered 503 for `amount` seconds."""
    KEY_ROTATED = "key_rotated"
    """Every request is refused with InvalidAccessKeyId for `amount` seconds."""
    REPLACED = "replaced"
    """Object number `of` is replaced by another version."""
    REPLACED_MIDWAY = "replaced_midway"
    """The object that is being read is cut in the middle and replaced by another version."""
    REVERTED = "reverted"
    """Object number `of` is replaced by its first version."""
    DELETED = "deleted"
    """Object number `of` is deleted, and is there again as it was after `amount` seconds, or never (`FOR_GOOD_S`)."""
    REMADE = "remade"
    """Object number `of` is deleted, and its next version is put after `amount` seconds."""
    HEAD_SLOW = "head_slow"
    """A question for the version (HEAD, or GET of the first byte) is answered `amount` seconds late."""
    HEAD_LOST = "head_lost"
    """Such a question was read, and the connection ends without an answer."""
    HEAD_STATUS = "head_status"
    """Such a question is answered with status `of`: passing trouble, or a refusal of HEAD."""
    ANOTHER_BOT = "another_bot"
    """All hosts are restarted with another bot's token under the name `mybot`, and back after `amount` seconds."""
    TELEGRAM_SLOW = "telegram_slow"
    """The message is made, and the answer comes `amount` seconds later."""
    ANSWER_LOST = "answer_lost"
    """The message is made, and the connection ends without an answer."""
    ANSWER_CUT = "answer_cut"
    """The message is made, and the connection ends after the share `amount` of the answer."""
    UPLOAD_CUT = "upload_cut"
    """The connection ends after the share `amount` of the upload."""
    UPLOAD_STALL = "upload_stall"
    """Half of the upload is read, then nothing for `amount` seconds."""
    UPLOAD_REFUSED = "upload_refused"
    """502 after half of the upload, then the connection ends."""
    TOO_MANY = "too_many"
    """429 with a `retry_after` of `of` seconds."""
    TELEGRAM_STATUS = "telegram_status"
    """No message; status `of` with a page that quotes the request."""
    FILE_REFUSED = "file_refused"
    """400 in words that are about the file: the job's own fault."""
    BOT_REVOKED = "bot_revoked"
    """Every request of a bot is answered 401 for `amount` seconds."""
    CHAT_REFUSES = "chat_refuses"
    """Chat number `of` refuses every upload in words that no table knows, for `amount` seconds."""
    CHAT_CLOSED = "chat_closed"
    """Chat number `of` refuses the kind by its name, for `amount` seconds."""
    UNREACHABLE = "unreachable"
    """No new connection to peer number `of` for `amount` seconds."""
    CLIENT_CUT = "client_cut"
    """The connection of client number `of` ends."""
    CRASH = "crash"
    """Host `of` dies while it is at work, and starts again some seconds later."""
    CRASH_IN_COMMIT = "crash_in_commit"
    """Host `of` dies in the middle of its next commit."""
    FREEZE = "freeze"
    """Everything that host `of` sends, receives or stores stands still for `amount` seconds."""
    SUSPENDED = "suspended"
    """Time leaps by `amount` seconds, for everybody."""
    CLOCK_STEP = "clock_step"
    """The wall clock of host `of` steps by `amount` seconds."""
    COMMIT_LOST = "commit_lost"
    """A commit of host `of` takes place, and its answer is lost. Two hosts only."""
    STORE_DOWN = "store_down"
    """The store takes nothing from host `of` for `amount` seconds."""


SORTS: Mapping[FaultKind, Sort] = {
    **{kind: Sort.R2 for kind in FaultKind if kind.startswith("r2_")},
    FaultKind.REPLACED_MIDWAY: Sort.R2,
    **{kind: Sort.VERSION for kind in FaultKind if kind.startswith("head_")},
    **dict.fromkeys(
        (
            FaultKind.TELEGRAM_SLOW,
            FaultKind.ANSWER_LOST,
            FaultKind.ANSWER_CUT,
            FaultKind.UPLOAD_CUT,
            FaultKind.UPLOAD_STALL,
            FaultKind.UPLOAD_REFUSED,
            FaultKind.TOO_MANY,
            FaultKind.TELEGRAM_STATUS,
            FaultKind.FILE_REFUSED,
        ),
        Sort.TELEGRAM,
    ),
    **dict.fromkeys((FaultKind.CRASH_IN_COMMIT, FaultKind.COMMIT_LOST), Sort.STORE),
    **dict.fromkeys((FaultKind.CRASH, FaultKind.FREEZE, FaultKind.CLOCK_STEP, FaultKind.STORE_DOWN), Sort.HOST),
    **dict.fromkeys(
        (
            FaultKind.R2_DOWN,
            FaultKind.KEY_ROTATED,
            FaultKind.REPLACED,
            FaultKind.REVERTED,
            FaultKind.DELETED,
            FaultKind.REMADE,
            FaultKind.ANOTHER_BOT,
            FaultKind.BOT_REVOKED,
            FaultKind.CHAT_REFUSES,
            FaultKind.CHAT_CLOSED,
            FaultKind.UNREACHABLE,
            FaultKind.CLIENT_CUT,
            FaultKind.SUSPENDED,
        ),
        Sort.WORLD,
    ),
}
"""Peers, stores and hosts take those of their sort when they are due; the world makes the rest happen on time."""


@frozen
class Fault:
    kind: FaultKind
    at_s: float
    of: int = 0
    amount: float = 0.0


class Verb(StrEnum):
    """`PUSH` is with the job's id; `AGAIN` is a push without one, as the `Action` says."""

    PUSH = "push"
    AGAIN = "again"
    CANCEL = "cancel"
    RETRY = "retry"
    FIND = "find"
    FORGET = "forget"
    INVALID = "invalid"
    REFRESH = "refresh"
    PAUSE = "pause"
    RESUME = "resume"


class Names(StrEnum):
    """What a push without an id names beside the key: nothing, or the ETag or the digest of a version."""

    KEY = "key"
    ETAG = "etag"
    DIGEST = "digest"


class Reference(StrEnum):
    """The `file_id` that a report or a forget names: none, the recorded one, or the first that was ever heard of."""

    NONE = "none"
    RECORDED = "recorded"
    FIRST = "first"


@frozen
class Action:
    """What client number `client` does at a time. `job` is a job's number; a pause or a resume is of its destination,
    or of the whole service (None). `names`, `version` and `refresh` are of `AGAIN`; `REFRESH` compares a listing, and
    warms all anew if `refresh` is `always`. `file_id` is of `INVALID` and `FORGET`."""

    at_s: float
    client: int
    verb: Verb
    job: int | None
    names: Names = Names.KEY
    version: int = 0
    refresh: str = "if_changed"
    file_id: Reference = Reference.NONE


@frozen
class PlannedObject:
    """`sizes` are those of its versions. `is_unsized`: no answer says how long it is, as behind some proxies."""

    key: str
    sizes: tuple[int, ...]
    is_unsized: bool = False


@frozen
class PlannedJob:
    """`digest`: None, `right` (the first version's) or `wrong`. `has_object` False: there is none of this key."""

    number: int
    destination: str
    object: int
    digest: str | None = None
    has_object: bool = True

    @property
    def id(self) -> str:
        return f"job-{self.number:02}"


@frozen
class Plan:
    """`hosts`: 1 over SQLite, 2 over a memory store that both share."""

    seed: str
    hosts: int
    clients: int
    objects: tuple[PlannedObject, ...]
    jobs: tuple[PlannedJob, ...]
    actions: tuple[Action, ...]
    faults: tuple[Fault, ...]


def key_of(plan: Plan, job: PlannedJob) -> str:
    return plan.objects[job.object].key if job.has_object else f"media/none-{job.number}.bin"


def caption_again(job: PlannedJob, action: Action) -> str:
    """The caption of a push without an id: the only thing that tells its messages."""
    return f"{job.id} again at {action.at_s:.6f}"
