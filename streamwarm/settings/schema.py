"""Every setting of the service itself, its default and what it allows (contract, section 3). Pure.

`load.py` finds the values. Each type of destination has a settings class of its own, in a file beside this one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from attrs import Attribute, field, frozen
from attrs.validators import optional

from streamwarm.errors import SettingsError
from streamwarm.settings.checks import BadValue, above_zero, at_least, check_endpoint, check_host, one_of
from streamwarm.settings.secret import SecretStr

KEEP_DONE_S = 7 * 86400.0
KEEP_FAILED_S = 30 * 86400.0


class Address(NamedTuple):
    """`HOST:PORT`. An IPv6 host is written in brackets. Port 0 means any free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        try:
            check_host(host)
        except ValueError:
            colon = ""
        if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise BadValue("must be HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8787")
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _check_store_url(_: object, __: Attribute[Any], value: str) -> None:
    if value != "memory:" and not value.startswith(("sqlite:///", "postgresql://")):
        raise BadValue("must be sqlite:///PATH, postgresql://… or memory:")
    path = value.removeprefix("sqlite:///")
    if path != value:
        if path == ":memory:" or path.startswith("file:") or "?" in path:
            raise BadValue(
                "must be sqlite:///PATH with the plain path of a file; memory: is a store without one, which forgets"
            )
        if not path.strip() or path.endswith(("/", "/.", "/..")) or path in {".", ".."} or not path.isprintable():
            raise BadValue(
                "must name a file after sqlite:///, such as sqlite:///streamwarm.db or sqlite:////data/jobs.db"
            )


@frozen(kw_only=True)
class ServeSettings:
    listen: Address = field(factory=lambda: Address("127.0.0.1", 8787))
    http: Address = field(factory=lambda: Address("127.0.0.1", 8788))
    ready_file: Path | None = None
    processes: int = field(default=1, validator=at_least(1))
    drain_s: float = field(default=30.0, validator=at_least(0))


def _check_tokens(_: object, __: Attribute[Any], value: tuple[SecretStr, ...]) -> None:
    if "" in value:
        raise BadValue("has an empty token, which would let in whoever sends none; leave it out")


@frozen(kw_only=True)
class AuthSettings:
    tokens: tuple[SecretStr, ...] = field(default=(), validator=_check_tokens)
    tokens_file: Path | None = None
    origins: tuple[str, ...] = ()


@frozen(kw_only=True)
class StoreSettings:
    url: str = field(default="sqlite:///streamwarm.db", validator=_check_store_url)


@frozen(kw_only=True)
class QueueSettings:
    workers: int = field(default=5, validator=at_least(1))
    max_queue: int = field(default=500, validator=at_least(1))
    max_pending: int = field(default=100_000, validator=at_least(1))
    max_attempts: int = field(default=5, validator=at_least(1))
    max_wait_s: float = field(default=900.0, validator=above_zero)
    lease_s: float = field(default=30.0, validator=at_least(1))
    keep_done_s: float = field(default=KEEP_DONE_S, validator=at_least(0))
    keep_failed_s: float = field(default=KEEP_FAILED_S, validator=at_least(0))


def _check_account_id(_: object, __: Attribute[Any], value: str) -> None:
    """It becomes the first label of a host's name. A jurisdiction may follow it, as in `ACCOUNT.eu`."""
    if value and not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9-]{1,63})?", value):
        raise BadValue("must be the account's ID as Cloudflare shows it: 32 letters and digits")


@frozen(kw_only=True)
class R2Settings:
    account_id: str | None = field(default=None, validator=optional(_check_account_id))
    endpoint_url: str | None = field(default=None, validator=optional(check_endpoint))
    bucket: str | None = None
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    secret_access_key_file: Path | None = None
    region: str = "auto"

    @property
    def resolved_endpoint(self) -> str | None:
        """`endpoint_url`, or R2's own for `account_id`."""
        if self.endpoint_url:
            return self.endpoint_url.rstrip("/")
        return f"https://{self.account_id}.r2.cloudflarestorage.com" if self.account_id else None

    def missing(self) -> list[str]:
        """The names of settings that are not set and without which no object can be read."""
        lacking = [] if self.resolved_endpoint else ["r2.account_id (or r2.endpoint_url)"]
        needed = ("bucket", "access_key_id", "secret_access_key")
        return lacking + [f"r2.{name}" for name in needed if not getattr(self, name)]


@frozen(kw_only=True)
class PoolSettings:
    connections: int = field(default=50, validator=at_least(1))
    keepalive_s: float = field(default=150.0, validator=at_least(0))
    connect_timeout_s: float = field(default=10.0, validator=above_zero)
    headers_timeout_s: float = field(default=30.0, validator=above_zero)
    body_timeout_s: float = field(default=60.0, validator=above_zero)
    ca_file: Path | None = None


@frozen(kw_only=True)
class CacheSettings:
    ttl_s: float = field(default=300.0, validator=at_least(0))
    max_entries: int = field(default=50, validator=at_least(0))
    max_bytes: int = field(default=1 << 30, validator=at_least(0))
    dir: Path | None = None


@frozen(kw_only=True)
class RecordsSettings:
    revalidate: bool = True
    trust_s: float = field(default=300.0, validator=at_least(0))


@frozen(kw_only=True)
class SigningSettings:
    key_ttl_s: float = field(default=82800.0, validator=at_least(0))


@frozen(kw_only=True)
class LogSettings:
    format: str = field(default="auto", validator=one_of("auto", "console", "json"))
    level: str = field(default="info", validator=one_of("debug", "info", "warning", "error"))


class DestinationSettings(Protocol):
    """One parsed table `[destinations.<name>]`: an instance of its type's attrs class (`settings/destinations.py`)."""

    @property
    def type(self) -> str: ...


@frozen(kw_only=True)
class Settings:
    """The settings of a service. `destinations` maps a name to the destination's settings."""

    serve: ServeSettings = ServeSettings()
    auth: AuthSettings = AuthSettings()
    store: StoreSettings = StoreSettings()
    queue: QueueSettings = QueueSettings()
    r2: R2Settings = R2Settings()
    pool: PoolSettings = PoolSettings()
    cache: CacheSettings = CacheSettings()
    records: RecordsSettings = RecordsSettings()
    signing: SigningSettings = SigningSettings()
    log: LogSettings = LogSettings()
    destinations: Mapping[str, DestinationSettings] = field(factory=dict)


def check_together(settings: Settings) -> None:
    """Raise `SettingsError` if settings of different sections contradict each other."""
    serve = settings.serve
    if not settings.auth.tokens and not (serve.listen.is_loopback and serve.http.is_loopback):
        raise SettingsError(
            "auth.tokens is empty, so serve.listen and serve.http must both be on loopback (127.0.0.1); "
            "set a token, for example STREAMWARM_AUTH_TOKENS_FILE, to listen elsewhere"
        )
    if serve.processes > 1 and settings.store.url == "memory:":
        raise SettingsError(
            "serve.processes: several processes cannot share store.url = memory:; "
            "use sqlite:///PATH or postgresql://…, or one process"
        )
