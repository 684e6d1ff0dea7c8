"""Reaching a PostgreSQL server: connections, migrations, and what its errors mean to a user.

Every connection is in autocommit mode: transactions are begun and ended by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg.types.string import StrDumper, TextLoader
from psycopg_pool import ConnectionPool, PoolTimeout

from streamwarm.backlog.queries import load_migrations, newer_schema
from streamwarm.errors import StoreUnavailable
from streamwarm.redact import make_redactor
from streamwarm.settings.secrets import secrets_in_url

PgConnection = Connection[dict[str, Any]]

CONNECTIONS = 6
"""A process's connections, apart from the one that listens: two for its writers, the others for reads."""

GET_TIMEOUT_S = 3.0
"""How long an operation waits for a connection before it raises `StoreUnavailable`."""

_RECONNECT_S = 2.0
"""How long the pool tries by itself to replace a lost connection. It backs off between tries, up to half of this. The
next operation after that makes it try again, so that work resumes as soon as the server does."""

_MIGRATION_LOCK = 0x73747265616D  # "stream": any number that no other program of this database uses
_MIGRATION_WAIT_S = 600
"""How long a migration waits for another process's, and how long a statement of it may take, in seconds. On a large
database one may take minutes."""

_SESSION = """
SET statement_timeout = '30s';
SET lock_timeout = '20s';
SET idle_in_transaction_session_timeout = '5s';
SET jit = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_sort = off;
"""
"""If a host is suspended in the middle of a transaction, the others wait for 5 s. If it was just sending its writes,
they wait as long as `_TRANSACTION` says. Every query must walk an index, in its order: the plan that is made while a
table is small is kept when the table has grown."""

_TRANSACTION = "SET transaction_timeout = '15s'"
_TRANSACTION_SINCE = 170_000  # the server's version

_NETWORK = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "streamwarm",
}
"""A server that vanishes without closing its connections is noticed in 15 to 25 s. `store.url` may override these."""

_REMEDIES = (
    (psycopg.errors.DiskFull, "free space on the server's volume; work then resumes by itself"),
    (psycopg.errors.ReadOnlySqlTransaction, "it takes no writes; name the primary server in store.url"),
    (psycopg.errors.InsufficientPrivilege, "grant this user CREATE and USAGE on its schema"),
    (psycopg.errors.InvalidPassword, "correct the user or password in store.url"),
    (psycopg.errors.InvalidAuthorizationSpecification, "correct the user or password in store.url"),
    (psycopg.errors.InvalidCatalogName, "create the database, or correct its name in store.url"),
    (psycopg.errors.UndefinedTable, "its tables are gone; restore them, or restart streamwarm to create them"),
    (psycopg.errors.LockNotAvailable, "another transaction has locked what it needs; look at pg_stat_activity"),
    (psycopg.errors.QueryCanceled, "the server took too long; look at its load and at pg_stat_activity"),
    (psycopg.errors.TooManyConnections, f"raise max_connections: a process of streamwarm uses {CONNECTIONS + 1}"),
    (psycopg.OperationalError, "start it, or correct store.url; work then resumes by itself"),
    (PoolTimeout, "start it, or correct store.url; work then resumes by itself"),
)


class _EscapedStr(StrDumper):
    """Escapes NUL: a text column cannot store it, and an object's name may contain it (fault 32)."""

    def dump(self, obj: str) -> Any:
        if "\0" in obj or "\x1b" in obj:
            obj = obj.replace("\x1b", "\x1b1").replace("\0", "\x1b0")
        return super().dump(obj)


class _EscapedText(TextLoader):
    def load(self, data: Any) -> Any:
        text: Any = super().load(data)
        if not isinstance(text, str) or "\x1b" not in text:
            return text  # bytes, if the database has no encoding
        return text.replace("\x1b0", "\0").replace("\x1b1", "\x1b")


def connect(url: str) -> PgConnection:
    """A connection with streamwarm's settings. Raises `psycopg.Error`."""
    connection: PgConnection = psycopg.connect(_conninfo(url), **_CONNECT)
    try:
        configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def configure(connection: PgConnection) -> None:
    connection.adapters.register_dumper(str, _EscapedStr)
    connection.adapters.register_loader("text", _EscapedText)
    connection.execute(_SESSION, prepare=False)
    if connection.info.server_version >= _TRANSACTION_SINCE:
        connection.execute(_TRANSACTION, prepare=False)


def make_pool(url: str) -> ConnectionPool[PgConnection]:
    """A pool that is not yet open."""
    return ConnectionPool(
        _conninfo(url),
        kwargs=_CONNECT,
        configure=configure,
        min_size=2,
        max_size=CONNECTIONS,
        timeout=GET_TIMEOUT_S,
        reconnect_timeout=_RECONNECT_S,
        num_workers=1,
        open=False,
        name="streamwarm",
    )


def migrate(url: str) -> int:
    """Bring the schema up to date. Returns its version.

    Several processes may do this at once: all of it is one transaction under one lock, and the second process finds it
    done. Raises `StoreUnavailable`.
    """
    migrations = load_migrations("postgres")
    newest = migrations[-1][0]
    with translated_errors(url), closing(connect(url)) as connection, connection.transaction():
        if connection.info.server_version >= _TRANSACTION_SINCE:
            connection.execute("SET LOCAL transaction_timeout = 0")
        connection.execute(f"SET LOCAL lock_timeout = '{_MIGRATION_WAIT_S}s'")
        connection.execute(f"SET LOCAL statement_timeout = '{_MIGRATION_WAIT_S}s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations "
            "(version integer PRIMARY KEY, applied_at double precision NOT NULL)"
        )
        applied = {row["version"] for row in connection.execute("SELECT version FROM schema_migrations")}
        found = max(applied, default=0)
        if found > newest:
            raise StoreUnavailable(newer_schema(server_name(url), found, newest))
        for version, script in migrations:
            if version not in applied:
                connection.execute(script, prepare=False)
                connection.execute(
                    "INSERT INTO schema_migrations VALUES (%s, extract(epoch FROM clock_timestamp()))", (version,)
                )
    return newest


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Turn PostgreSQL's errors into `StoreUnavailable`, which names the server, the reason and the remedy."""
    try:
        yield
    except (psycopg.Error, PoolTimeout) as error:
        raise StoreUnavailable(describe(url, error)) from error


_CHARACTER = r"(?:[^%\s@:/?#&\[\]]|%[0-9A-Fa-f]{2})"
_PARAMETER = r"[A-Za-z_]+=(?:[^%\s&#@]|%[0-9A-Fa-f]{2})*"
_WELL_FORMED = re.compile(
    rf"postgresql://(?:{_CHARACTER}*(?::{_CHARACTER}*)?@)?[^@/?#\s]*(?:/{_CHARACTER}*)?"
    rf"(?:\?(?:{_PARAMETER}(?:&{_PARAMETER})*)?)?"
)
"""What libpq reads as it was meant. If a password has a bare `@` or `/`, libpq takes parts of it for a host or a
database, and its errors name them."""


def describe(url: str, error: Exception) -> str:
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), None)
    if remedy is None:
        remedy = "please report this with the log around it"
    name = getattr(error, "sqlstate", None) or type(error).__name__
    # Only the first line: the others quote rows.
    reason = make_redactor(secrets_in_url(url))(next(iter(str(error).splitlines()), "no reason given"))
    return f"the store {server_name(url)} failed ({name}: {reason}); {remedy}"


def server_name(url: str) -> str:
    """Host and database, without user and password."""
    if not _WELL_FORMED.fullmatch(url):
        return "in store.url"
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "in store.url"
    host, port = parts.get("host") or "localhost", parts.get("port")
    return f"postgresql://{host}{f':{port}' if port else ''}/{parts.get('dbname') or ''}"


def _conninfo(url: str) -> str:
    """`url` with our defaults for what it leaves open.

    Raises `StoreUnavailable` if it is invalid, without quoting it: it has a password.
    """
    try:
        if not _WELL_FORMED.fullmatch(url):
            raise psycopg.ProgrammingError
        return psycopg.conninfo.make_conninfo("", **{**_NETWORK, **conninfo_to_dict(url)})
    except psycopg.ProgrammingError:
        raise StoreUnavailable(
            "store.url is not a PostgreSQL address; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special "
            "characters percent-encoded"
        ) from None


_CONNECT: dict[str, Any] = {"autocommit": True, "row_factory": dict_row}
