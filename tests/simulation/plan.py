"""What happens in one run, drawn from a seed: objects, jobs, what people do, and which faults strike when. Pure.

A plan's items do not depend on one another, so one can be left out (`shrink.py`) and the rest stays as it was. A fault
of a peer is due at a time and strikes the next request that it fits, if one comes before `FAULTS_END_S`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from random import Random

from attrs import frozen

FAULTS_END_S = 80.0
"""When the last fault ends, in virtual seconds. People act before `PEOPLE_END_S`."""

PEOPLE_END_S = 30.0
CHATS = {"mybot": (-1001, -1002), "holdbot": (-1003,)}
"""The destinations and their warm-up chats. `holdbot` holds what is unknown, `mybot` sends it again."""


class Sort(StrEnum):
    """Who makes a fault happen."""

    R2 = "r2"
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

KIND_STRIKES = 0.13
"""How probable it is that a kind of fault is in a run: three or four kinds are, on average."""

_PASSING = (408, 425, 429, 500, 502, 503, 504, 520, 599)


@frozen
class Fault:
    kind: FaultKind
    at_s: float
    of: int = 0
    amount: float = 0.0


class Verb(StrEnum):
    PUSH = "push"
    CANCEL = "cancel"
    RETRY = "retry"
    FORGET = "forget"
    PAUSE = "pause"
    RESUME = "resume"


@frozen
class Action:
    """What client number `client` does at a time. `job` is a job's number; a pause or a resume is of its destination,
    or of the whole service (None)."""

    at_s: float
    client: int
    verb: Verb
    job: int | None


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


def draw(seed: str, *, without: frozenset[FaultKind] = frozenset()) -> Plan:
    """The plan of a seed, without the faults of some kinds. Each kind has randomness of its own, so a new kind leaves
    what other kinds do in a seed as it is."""
    chance = Random(f"{seed} plan")
    hosts = 2 if chance.random() < 0.5 else 1
    clients = chance.randint(1, 3)
    is_crowd = chance.random() < 0.12  # more messages than a chat takes in a minute
    count = chance.randint(25, 45) if is_crowd else chance.randint(1, 12)
    # A crowd's jobs have an object each, or most of them would be one job.
    objects = tuple(_object(chance, n, small=is_crowd) for n in range(count if is_crowd else chance.randint(1, 8)))
    jobs = tuple(_job(chance, number, len(objects), is_crowd=is_crowd) for number in range(count))
    kinds = [kind for kind in possible_kinds(without) if hosts > 1 or kind is not FaultKind.COMMIT_LOST]
    faults = [fault for kind in kinds for fault in _faults(seed, kind, hosts, clients, len(objects))]
    return Plan(
        seed,
        hosts,
        clients,
        objects,
        jobs,
        tuple(sorted(_actions(chance, jobs, clients), key=lambda action: action.at_s)),
        tuple(sorted(faults, key=lambda fault: fault.at_s)),
    )


def _faults(seed: str, kind: FaultKind, hosts: int, clients: int, objects: int) -> list[Fault]:
    """Few kinds strike in one run, and some of them often: what goes wrong in reality goes wrong again."""
    chance = Random(f"{seed} {kind}")
    if chance.random() > KIND_STRIKES:
        return []
    faults = [_fault(chance, kind, hosts, clients, objects) for _ in range(chance.choice((1, 1, 2, 4)))]
    if kind is FaultKind.FREEZE:
        # When a host comes back to itself, another should still be at its jobs.
        faults += [Fault(FaultKind.TELEGRAM_SLOW, fault.at_s + 25.0, amount=70.0) for fault in faults]
    return faults


def possible_kinds(without: frozenset[FaultKind]) -> list[FaultKind]:
    return [kind for kind in FaultKind if kind not in without]


def _object(chance: Random, number: int, *, small: bool) -> PlannedObject:
    largest = 3_000 if small else chance.choice((1, 900, 20_000, 70_000, 200_000))
    sizes = tuple(chance.randint(1, largest) for _ in range(3))
    return PlannedObject(f"media/{number}.bin", sizes, chance.random() < 0.2)


def _job(chance: Random, number: int, objects: int, *, is_crowd: bool) -> PlannedJob:
    destination = "holdbot" if is_crowd or chance.random() < 0.35 else "mybot"
    digest = chance.choices((None, "right", "wrong"), (6, 3, 1))[0]
    index = number if is_crowd else chance.randrange(objects)
    return PlannedJob(number, destination, index, None if is_crowd else digest, is_crowd or chance.random() > 0.05)


def _actions(chance: Random, jobs: tuple[PlannedJob, ...], clients: int) -> list[Action]:
    actions = []
    for job in jobs:
        pushed_at_s = chance.uniform(0, PEOPLE_END_S / 2)
        actions.append(Action(pushed_at_s, chance.randrange(clients), Verb.PUSH, job.number))
        for verb, probability in ((Verb.CANCEL, 0.15), (Verb.RETRY, 0.2), (Verb.FORGET, 0.1), (Verb.PUSH, 0.2)):
            if chance.random() < probability:
                at_s = min(PEOPLE_END_S, pushed_at_s + chance.expovariate(0.1))
                actions.append(Action(at_s, chance.randrange(clients), verb, job.number))
    if chance.random() < 0.3:
        at_s, of = chance.uniform(0, PEOPLE_END_S), chance.choice((None, 0))
        actions.append(Action(at_s, 0, Verb.PAUSE, of))
        if chance.random() < 0.7:
            actions.append(Action(chance.uniform(at_s, PEOPLE_END_S), 0, Verb.RESUME, of))
    return actions


def _fault(chance: Random, kind: FaultKind, hosts: int, clients: int, objects: int) -> Fault:
    at_s = chance.uniform(0, PEOPLE_END_S) if chance.random() < 0.5 else chance.uniform(0, PEOPLE_END_S / 3)
    of = chance.randrange(hosts)
    amount = chance.uniform(0, 1)
    match kind:
        case FaultKind.R2_SLOW | FaultKind.TELEGRAM_SLOW | FaultKind.R2_STALL | FaultKind.UPLOAD_STALL:
            amount = chance.choice((0.5, 5.0, 35.0, 70.0))
        case FaultKind.R2_STATUS | FaultKind.TELEGRAM_STATUS:
            of = chance.choice(_PASSING)
        case FaultKind.R2_DOWN | FaultKind.KEY_ROTATED | FaultKind.BOT_REVOKED | FaultKind.UNREACHABLE:
            of, amount = chance.randrange(2), chance.uniform(1, 40)
        case FaultKind.CHAT_REFUSES | FaultKind.CHAT_CLOSED:
            of, amount = chance.randrange(3), chance.uniform(1, 60)
        case FaultKind.FREEZE | FaultKind.STORE_DOWN | FaultKind.SUSPENDED:
            amount = chance.choice((1.0, 12.0, 31.0, 45.0))
        case FaultKind.CLOCK_STEP:
            amount = chance.choice((-7_200.0, -40.0, -1.0, 1.0, 40.0, 1_200.0))
        case FaultKind.REPLACED:
            of = chance.randrange(objects)
        case FaultKind.CLIENT_CUT:
            of = chance.randrange(clients)
        case FaultKind.TOO_MANY:
            of = chance.choice((1, 3, 20, 61))
        case _:
            pass
    return Fault(kind, at_s, of, amount)
