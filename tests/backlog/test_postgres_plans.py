"""No query of PostgreSQL may read more than it returns, whatever the planner knows or believes."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest

from streamwarm.backlog.postgres.server import connect, migrate
from streamwarm.backlog.queries import load_queries
from tests.worlds.postgres import PostgresServer

SMALL_TABLES = {
    "count_processes",
    "correct_counters",
    "counter",
    "delete_counts",
    "delete_processes",
    "drop_old_writers",
    "job_counts",
    "lock_intake",
    "lock_numbering",
    "mends",
    "moved_lanes",
    "pauses",
    "record_counts",
    "probe_tables",
    "set_asides",
    "silences",
    "wrong_counters",
}
SORTED_RESULTS = {
    "event_seqs_of_jobs",
    "newest_jobs_in_places",
    "queued_in_bands",
}
"""They sort only what they found by an index: at most `limit` rows per key."""


GROW = (
    """
    INSERT INTO jobs (
        seq, id, destination, kind, r2_key, options, media_reference, base_score, state, attempt, created_at,
        updated_at, queued_at, possible_duplicate
    )
    SELECT n, n, 'bot', 'photo', n, '{}', 'key:' || n, 100, 'queued', 0, n, n, n, false FROM generate_series(1, 3000) n
    """,
    """
    INSERT INTO media_cache (
        destination, account, kind, r2_key, version, status, sha256, bytes, result, options, job_id, opened_at,
        updated_at
    )
    SELECT 'bot', '1', 'photo', n, 'sha256:' || n, 'ready', n, n, '{}', '{}', n, n, n FROM generate_series(1, 3000) n
    """,
)


@pytest.fixture(scope="session", params=["never looked at", "empty when looked at", "grown since"])
def planned(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> str:
    """The worst cases for the planner: it knows nothing of the tables, or what it knows is outdated."""
    url = postgres_server.new_schema()
    migrate(url)
    with closing(connect(url)) as connection:
        for table in ("jobs", "media_cache", "events") if request.param != "never looked at" else ():
            connection.execute(f"ANALYZE {table}")
        for statement in GROW if request.param == "grown since" else ():
            connection.execute(statement)
    return url


def plan(url: str, query: str) -> str:
    """The plan for any parameters."""
    numbers: dict[str, int] = {}
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}", query)
    return explained(url, f"EXPLAIN (GENERIC_PLAN) {text}", None)


EXAMPLES = {"text": "x", "bigint": 1, "integer": 1, "double precision": 1.0, "boolean": False}


def plan_for_many(url: str, query: str) -> str:
    """The plan for 400 rows at once, as a client's push has them."""
    columns = dict(re.findall(r"%\((\w+)\)s::([a-z ]+)\[\]", query))
    others = dict.fromkeys(re.findall(r"%\((\w+)\)s", query), 1)
    return explained(url, f"EXPLAIN {query}", {**others, **{name: [EXAMPLES[t]] * 400 for name, t in columns.items()}})


def explained(url: str, text: str, parameters: dict[str, object] | None) -> str:
    with closing(connect(url)) as connection:
        found = connection.execute(psycopg.sql.SQL(text), parameters, prepare=False)
        return "\n".join(row["QUERY PLAN"] for row in found)


@pytest.mark.parametrize(
    "name", sorted(name for name, text in load_queries("postgres").items() if name not in SMALL_TABLES)
)
def test_no_query_scans_or_sorts_a_table_that_grows_in_postgres(planned: str, name: str) -> None:
    query = load_queries("postgres")[name]
    if query.startswith("INSERT") or " FROM " not in query.replace("\n", " "):
        return
    told = plan(planned, query)
    assert "Seq Scan" not in told
    if name not in SORTED_RESULTS:
        assert "Sort" not in told


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("records_by_name", "ix_media_cache_lookup"),
        ("newest_records_by_digest", "ix_media_cache_sha256"),
        ("records_with_digest", "ix_media_cache_sha256"),
        ("versions_of_names", "media_cache_anew_destination_account_kind_r2_key_version_key"),
        ("page_of_records", "ix_media_cache_lookup"),
        ("page_of_records_in_state", "ix_media_cache_state"),
        ("page_of_records_with_warnings", "ix_media_cache_warnings"),
        ("reported_records", "ix_media_cache_reported"),
        ("lock_jobs_to_check", "ix_jobs_to_check_key"),
        ("keys_to_check", "ix_jobs_to_check"),
        ("live_jobs", "ix_jobs_live"),
        ("lock_jobs_by_id", "jobs_id_key"),
        ("lock_jobs_to_claim", "jobs_id_key"),
        ("base_scores", "ix_jobs_queued"),
        ("queued_in_bands", "ix_jobs_queued"),
        ("oldest_queued_at", "ix_jobs_oldest"),
        ("lock_due_jobs", "ix_jobs_due"),
        ("lock_expired_jobs", "ix_jobs_leased"),
        ("lock_ended_jobs", "ix_jobs_ended"),
        ("newest_jobs_in_places", "ix_jobs_list"),
        ("delete_events_of_jobs", "ix_events_job"),
        ("event_seqs_of_jobs", "ix_events_job"),
        ("update_jobs", "jobs_pkey"),
    ],
)
def test_each_query_reads_the_index_that_was_made_for_it(planned: str, name: str, index: str) -> None:
    """In the first minute of a store there are no statistics, and the planner knows only the queries."""
    assert set(re.findall(r"using (ix_\w+|jobs_\w+|media_\w+)", plan(planned, load_queries("postgres")[name]))) == {
        index
    }


@pytest.mark.parametrize("planner", [plan, plan_for_many])
@pytest.mark.parametrize(
    "name",
    sorted(
        n
        for n, text in load_queries("postgres").items()
        if "[]" in text and "INSERT INTO" not in text and n != "lock_objects"
    ),
)
def test_many_keys_are_looked_up_one_by_one_and_never_the_table_for_each(
    planned: str, name: str, planner: Callable[[str, str], str]
) -> None:
    """With the join reversed, a push of 400 jobs into 10,000 read four million rows."""
    lines = planner(planned, load_queries("postgres")[name]).splitlines()
    walked = [number for number, line in enumerate(lines) if re.search(r"Index (Only )?Scan", line)]
    assert walked
    for number in walked:
        assert "Index Cond:" in lines[number + 1], lines[number]
