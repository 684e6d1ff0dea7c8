"""The world of one run: what a plan makes of hosts, peers and people."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import trio
import trio.testing
from attrs import define, field

from streamwarm.redact import make_redactor
from streamwarm.settings.destinations import parse_destinations
from streamwarm.settings.schema import (
    Address,
    AuthSettings,
    PoolSettings,
    R2Settings,
    RecordsSettings,
    ServeSettings,
    Settings,
    StoreSettings,
)
from streamwarm.settings.secret import SecretStr
from streamwarm.settings.secrets import secrets_in_settings
from streamwarm.watch.logs import make_logger
from tests.simulation.bucket import R2, etag_of
from tests.simulation.faults import Faults
from tests.simulation.host import Host
from tests.simulation.network import Network
from tests.simulation.people import Person
from tests.simulation.plan import CHATS, Action, Names, Plan, PlannedJob, Verb, caption_again, key_of
from tests.simulation.serving import Served
from tests.simulation.stores import SharedStores, SqliteStores, Stores
from tests.simulation.telegram import Telegram
from tests.simulation.world import EPOCH, Traced

PEERS = {"r2.example": "93.184.216.1", "telegram.example": "93.184.216.2"}
TOKENS = {
    "mybot": "424242:AA-first-simulated-token-0123456789",
    "holdbot": "434343:AA-second-simulated-token-012345678",
    "otherbot": "454545:AA-third-simulated-token-0123456789",
}
"""Each bot's token. `otherbot` takes the place of `mybot` for a while."""

TRUST_S = 10.0
"""How long a comparison is trusted, in seconds: a run is too short for the default."""

BEARER = "bearer-of-the-simulation"
KEY_ID, SECRET_KEY = "simulated-key-id", "simulated-secret-key"


@define(eq=False)
class Whole:
    """Everything of one run."""

    plan: Plan
    folder: Path
    clock: trio.testing.MockClock
    trace: list[Traced] = field(factory=list)
    lease_breaches: list[str] = field(factory=list)
    event_times: dict[int, float] = field(factory=dict)
    unexpected: list[str] = field(factory=list)
    network: Network = field(init=False)
    faults: Faults = field(init=False)
    r2: R2 = field(init=False)
    telegram: Telegram = field(init=False)
    served: Mapping[str, Served] = field(init=False)
    stores: Stores = field(init=False)
    hosts: list[Host] = field(init=False)
    people: list[Person] = field(init=False)
    settings: Settings = field(init=False)
    calm_at_s: float = 0.0
    """When the faults ended, in virtual seconds."""
    other_bots: int = 0
    """How many faults there are at present for which another bot has the name `mybot`."""

    def __attrs_post_init__(self) -> None:
        plan = self.plan
        self.network = Network(Random(f"{plan.seed} network"), PEERS, lambda *_: None)
        self.faults = Faults(trio.current_time, self.note, list(plan.faults))
        versions = {planned.key: contents(plan, planned.key) for planned in plan.objects}
        unsized = frozenset(planned.key for planned in plan.objects if planned.is_unsized)
        self.r2 = R2("media", KEY_ID, versions, unsized, self.wall, self.faults)
        self.telegram = Telegram(TOKENS, trio.current_time, self.faults)
        self.served = {"r2.example": Served(self.r2), "telegram.example": Served(self.telegram)}
        chance = Random(f"{plan.seed} store")
        self.stores = SqliteStores(self.folder, chance, TRUST_S)
        if plan.hosts > 1:
            self.stores = shared = SharedStores(self.wall, chance, TRUST_S)
            self.telegram.spare = lambda since_s: shared.uploads_counted_out(EPOCH + since_s)
        self.settings = make_settings()
        self.hosts = [self._host(index) for index in range(plan.hosts)]
        self.people = [self._person(number) for number in range(plan.clients)]

    def wall(self) -> float:
        return EPOCH + trio.current_time()

    def note(self, where: str, what: str) -> None:
        self.trace.append(Traced(trio.current_time(), where, what))
        if "UnexpectedError" in what:
            self.unexpected.append(what)

    def _host(self, index: int) -> Host:
        both = [*secrets_in_settings(self.settings), *secrets_in_settings(make_settings("otherbot"))]
        redact = make_redactor(both)
        return Host(
            index,
            self.settings,
            self.stores,
            self.network,
            self.faults,
            self.lease_breaches,
            self.event_times,
            self.folder,
            self.plan.seed,
            self.note,
            lambda log: make_logger(form="json", level="debug", redact=redact, stream=log),
        )

    def _person(self, number: int) -> Person:
        actions = [action for action in self.plan.actions if action.client == number]
        jobs = {job.number: job for job in self.plan.jobs}
        ways = (self.params_of, self.params_again)
        return Person(number, self.network, self.hosts, BEARER, actions, jobs, *ways, self.note)

    async def use_bots(self) -> None:
        """Restart every host whose settings have another bot than they should, and wait until all have started."""
        self.settings = make_settings("otherbot" if self.other_bots else "mybot")
        async with trio.open_nursery() as nursery:
            for host in self.hosts:
                nursery.start_soon(host.use, self.settings)

    def params_of(self, job: PlannedJob) -> dict[str, Any]:
        params = {
            "id": job.id,
            "destination": job.destination,
            "kind": "document",
            "r2_key": key_of(self.plan, job),
            "options": {"caption": job.id},
        }
        digest = self.digest_of(job)
        return params | ({"sha256": digest} if digest else {})

    def params_again(self, job: PlannedJob, action: Action) -> dict[str, Any]:
        """A push of the same object without an id."""
        params = self.params_of(job) | {"options": {"caption": caption_again(job, action)}, "refresh": action.refresh}
        del params["id"]
        params.pop("sha256", None)
        versions = self.r2.versions.get(params["r2_key"], [b"none"])
        content = versions[action.version % len(versions)]
        if action.names is Names.ETAG:
            params["source_etag"] = etag_of(content).strip('"')
        elif action.names is Names.DIGEST:
            params["sha256"] = hashlib.sha256(content).hexdigest()
        return params

    def named_digests(self) -> dict[str, set[str]]:
        """The digests that pushes of each key name."""
        jobs = {job.number: job for job in self.plan.jobs}
        pushes = [self.params_of(job) for job in self.plan.jobs]
        pushes += [
            self.params_again(jobs[action.job], action)
            for action in self.plan.actions
            if action.verb is Verb.AGAIN and action.job is not None
        ]
        named: dict[str, set[str]] = {}
        for params in pushes:
            named.setdefault(params["r2_key"], set()).add(params.get("sha256", ""))
        return named

    def digest_of(self, job: PlannedJob) -> str | None:
        if job.digest is None:
            return None
        content = self.r2.versions[self.plan.objects[job.object].key][0] if job.digest == "right" else b"another"
        return hashlib.sha256(content).hexdigest()


def contents(plan: Plan, key: str) -> list[bytes]:
    planned = next(one for one in plan.objects if one.key == key)
    return [Random(f"{plan.seed} {key} {n}").randbytes(size) for n, size in enumerate(planned.sizes)]


def make_settings(mybot: str = "mybot") -> Settings:
    """`mybot`: the bot whose token the destination of this name has."""
    tokens = TOKENS | {"mybot": TOKENS[mybot]}
    free = Address("127.0.0.1", 0)
    return Settings(
        serve=ServeSettings(listen=free, http=free),
        auth=AuthSettings(tokens=(SecretStr(BEARER),)),
        store=StoreSettings(url="memory:"),
        records=RecordsSettings(trust_s=TRUST_S),
        r2=R2Settings(
            endpoint_url="http://r2.example",
            bucket="media",
            access_key_id=KEY_ID,
            secret_access_key=SecretStr(SECRET_KEY),
        ),
        pool=PoolSettings(ca_file=Path(__file__).with_name("ca.pem")),  # the system's roots take 100 ms to load
        destinations=parse_destinations(
            {
                name: {
                    "type": "telegram",
                    "token": tokens[name],
                    "chats": list(chats),
                    "base_url": "http://telegram.example",
                    "on_unknown": "hold" if name == "holdbot" else "retry",
                }
                for name, chats in CHATS.items()
            }
        ),
    )
