"""Checks a PostgreSQL database for `streamwarm check`, and changes nothing: it only reads."""

from __future__ import annotations

from contextlib import closing

from streamwarm.backlog.core.small_tables import stored_source_pause
from streamwarm.backlog.postgres.server import connect, server_name, translated_errors
from streamwarm.backlog.queries import load_migrations, newer_schema, schema_found
from streamwarm.backlog.shared_limits import SOURCE_LEASE, SourcePause
from streamwarm.errors import StoreUnavailable

_CHECK = """
SELECT current_setting('transaction_read_only') AS read_only,
       current_schema() AS schema,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
       to_regclass('schema_migrations') IS NOT NULL AS is_migrated
"""
_MAY_WRITE = """
SELECT has_table_privilege('jobs', 'INSERT') AND has_table_privilege('jobs', 'UPDATE')
       AND has_table_privilege('write_probe', 'UPDATE') AS may
"""


def check_writable(url: str) -> str:
    """Check that the database takes writes, without one. Returns the finding as a sentence.

    Raises `StoreUnavailable`, also for a schema that `serve` would refuse.
    """
    newest, name = load_migrations("postgres")[-1][0], server_name(url)
    with translated_errors(url), closing(connect(url)) as connection:
        (row,) = connection.execute(_CHECK).fetchall()
        if row["read_only"] == "on":
            raise StoreUnavailable(f"{name} takes no writes (it is read-only); name the primary server in store.url")
        if row["schema"] is None:
            raise StoreUnavailable(
                f"{name} has no schema for tables in its search_path; create it, or correct store.url"
            )
        found = None
        if row["is_migrated"]:
            (versions,) = connection.execute("SELECT max(version) AS newest FROM schema_migrations").fetchall()
            found = versions["newest"] or 0
        if found is not None and found > newest:
            raise StoreUnavailable(newer_schema(name, found, newest))
        if not row["may_create"]:
            raise StoreUnavailable(f"{name} lets this user create no tables; grant it CREATE and USAGE on its schema")
        if found == newest and not connection.execute(_MAY_WRITE).fetchall()[0]["may"]:
            raise StoreUnavailable(
                f"{name} takes no writes of this user; grant it ALL on its tables, such as jobs and write_probe"
            )
    return schema_found(name, found, newest)


def source_pause(url: str) -> SourcePause | None:
    """Return the stored pause of the bucket, None without one. Raises `StoreUnavailable`."""
    with translated_errors(url), closing(connect(url)) as connection:
        (row,) = connection.execute("SELECT to_regclass('leases') IS NOT NULL AS has_leases").fetchall()
        if not row["has_leases"]:
            return None  # an older schema, which `check` leaves as it is
        return stored_source_pause(
            connection.execute("SELECT * FROM leases WHERE name = %s", (SOURCE_LEASE,)).fetchone()
        )
