"""Draws a plan from a seed: what there is, what people do, and which faults strike when. Pure."""

from __future__ import annotations

from random import Random

from tests.simulation.plan import (
    FOR_GOOD_S,
    PEOPLE_END_S,
    Action,
    Fault,
    FaultKind,
    Names,
    Plan,
    PlannedJob,
    PlannedObject,
    Reference,
    Verb,
)

KIND_STRIKES = 0.13
"""How probable it is that a kind of fault is in a run: three or four kinds are, on average."""

OFTEN_STRIKES = 0.35
"""The same of what happens to objects: that is no fault, and every library lives through it."""

_OF_OBJECTS = {FaultKind.REPLACED, FaultKind.REVERTED, FaultKind.DELETED, FaultKind.REMADE}
VERSIONS = 4
"""How many versions an object has, one after another."""

_REFUSED = (403, 405, 501)
_PASSING = (408, 425, 429, 500, 502, 503, 504, 520, 599)


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
    if chance.random() > (OFTEN_STRIKES if kind in _OF_OBJECTS else KIND_STRIKES):
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
    sizes = tuple(chance.randint(1, largest) for _ in range(VERSIONS))
    return PlannedObject(f"media/{number}.bin", sizes, chance.random() < 0.2)


def _job(chance: Random, number: int, objects: int, *, is_crowd: bool) -> PlannedJob:
    destination = "holdbot" if is_crowd or chance.random() < 0.35 else "mybot"
    digest = chance.choices((None, "right", "wrong"), (6, 3, 1))[0]
    index = number if is_crowd else chance.randrange(objects)
    return PlannedJob(number, destination, index, None if is_crowd else digest, is_crowd or chance.random() > 0.05)


_LATER = (
    (Verb.CANCEL, 0.15),
    (Verb.RETRY, 0.2),
    (Verb.FORGET, 0.1),
    (Verb.PUSH, 0.2),
    (Verb.AGAIN, 0.6),
    (Verb.AGAIN, 0.4),
    (Verb.FIND, 0.3),
    (Verb.INVALID, 0.12),
    (Verb.REFRESH, 0.05),
)
"""What people do after they have pushed a job, and how probable each is."""


def _actions(chance: Random, jobs: tuple[PlannedJob, ...], clients: int) -> list[Action]:
    actions = []
    for job in jobs:
        pushed_at_s = chance.uniform(0, PEOPLE_END_S / 2)
        actions.append(Action(pushed_at_s, chance.randrange(clients), Verb.PUSH, job.number))
        for verb, probability in _LATER:
            if chance.random() < probability:
                at_s = min(PEOPLE_END_S, pushed_at_s + chance.expovariate(0.1))
                actions.append(_action(chance, at_s, chance.randrange(clients), verb, job))
    if chance.random() < 0.3:
        at_s, of = chance.uniform(0, PEOPLE_END_S), chance.choice((None, 0))
        actions.append(Action(at_s, 0, Verb.PAUSE, of))
        if chance.random() < 0.7:
            actions.append(Action(chance.uniform(at_s, PEOPLE_END_S), 0, Verb.RESUME, of))
    return actions


def _action(chance: Random, at_s: float, client: int, verb: Verb, job: PlannedJob) -> Action:
    match verb:
        case Verb.AGAIN:
            names = chance.choices(list(Names), (5, 2, 2))[0]
            refresh = chance.choices(("if_changed", "always", "never"), (6, 1, 1))[0]
            return Action(at_s, client, verb, job.number, names, chance.randrange(VERSIONS), refresh)
        case Verb.REFRESH:
            return Action(at_s, client, verb, job.number, refresh=chance.choice(("if_changed", "always")))
        case Verb.INVALID:
            file_id = chance.choices((Reference.RECORDED, Reference.FIRST), (3, 1))[0]
            return Action(at_s, client, verb, job.number, file_id=file_id)
        case Verb.FORGET:
            return Action(at_s, client, verb, job.number, file_id=chance.choice(list(Reference)))
    return Action(at_s, client, verb, job.number)


def _fault(chance: Random, kind: FaultKind, hosts: int, clients: int, objects: int) -> Fault:
    at_s = chance.uniform(0, PEOPLE_END_S) if chance.random() < 0.5 else chance.uniform(0, PEOPLE_END_S / 3)
    of = chance.randrange(hosts)
    amount = chance.uniform(0, 1)
    if kind in _OF_OBJECTS:
        return Fault(kind, at_s, chance.randrange(objects), chance.choice((0.5, 5.0, 20.0, FOR_GOOD_S)))
    match kind:
        case FaultKind.HEAD_SLOW | FaultKind.ANOTHER_BOT:
            amount = chance.choice((0.5, 4.0, 12.0, 40.0))
        case FaultKind.HEAD_STATUS:
            of = chance.choice(_PASSING + _REFUSED)
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
        case FaultKind.CLIENT_CUT:
            of = chance.randrange(clients)
        case FaultKind.TOO_MANY:
            of = chance.choice((1, 3, 20, 61))
        case _:
            pass
    return Fault(kind, at_s, of, amount)
