"""An operator's day on the command line: list what failed, see why, fix it, push again."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest
from attrs import evolve

from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import AuthSettings
from tests.worlds.command_line import cli
from tests.worlds.operator import operating
from tests.worlds.service import (
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)


async def test_what_failed_is_listed_explained_retried_and_forgotten_by_filter(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    async with operating(object_store, tmp_path, way) as op:
        ids = await op.push_failing(3, f"gone{way}")
        listed = await cli("jobs", "--state", "failed", *op.reach)
        rows = [line.split("\t") for line in listed.out.splitlines()]
        assert [row[0] for row in rows] == ids[::-1]
        assert {row[4] for row in rows} == {f"gone{way}/{n}.bin" for n in range(3)}
        assert all(row[7].startswith("source_not_found: ") for row in rows)

        two = await cli("jobs", "-n", "2", "--json", *op.reach)
        assert ([job["id"] for job in two.json()], two.err) == (ids[:0:-1], "")
        assert "--limit 0" in (await cli("jobs", "-n", "2", *op.reach)).err

        shown = await cli("jobs", "show", ids[0], *op.reach)
        assert "what to do: check the key" in shown.out
        head, _, attempts = shown.out.partition("\nattempts:\n")
        assert "attempt: 1" in head
        [line] = attempts.splitlines()
        number, started, ended, outcome, host, process, worker, *_, error = line.split("\t")
        assert (number, outcome, host, process) == ("1", "failed", socket.gethostname(), "1")
        assert started <= ended
        assert 1 <= int(worker) <= 5
        assert error.startswith("source_not_found: ")
        [described] = (await cli("jobs", "show", ids[0], "--json", *op.reach)).json()
        assert [one["outcome"] for one in described["attempts"]] == ["failed"]

        await put(object_store, {f"gone{way}/{n}.bin": b"found" * 100 for n in range(2)})
        await op.world.client.call("watch", {"ids": ids})
        retried = await cli("jobs", "retry", "--state", "failed", "--destination", "mybot", *op.reach)
        assert (retried.code, retried.out) == (0, "retried 3 of 3 jobs\n")
        ended = await op.world.outcomes(ids)
        assert [job["state"] for job in ended] == ["done", "done", "failed"]

        again = await cli("jobs", "retry", ids[0], *op.reach)
        assert (again.code, again.out) == (1, "retried 0 of 1 jobs\n")
        [forgot] = (await cli("jobs", *op.reach, "forget", "--all", "--json")).json()
        assert forgot == {"matched": 1, "changed": 1}
        assert (await cli("find", "mybot", "document", f"gone{way}/0.bin", *op.reach)).code == 0
        assert (await cli("jobs", "forget", ids[0], *op.reach)).code == 0
        assert (await cli("find", "mybot", "document", f"gone{way}/0.bin", *op.reach)).code == 1
        assert (await cli("jobs", "show", ids[2], *op.reach)).code == 1


async def test_a_command_that_could_mean_everything_is_refused(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        for words in (["cancel"], ["retry", "x", "--all"], ["forget", "--all", "--state", "done"]):
            refused = await cli("jobs", *words, *op.reach)
            assert (refused.code, "--all" in refused.err) == (2, True)
        missing = await cli("jobs", "cancel", "nobody", *op.reach)
        assert (missing.code, "match no job" in missing.err) == (1, True)


async def test_a_hostile_key_does_not_steer_the_terminal(object_store: ObjectStore, tmp_path: Path) -> None:
    async with operating(object_store, tmp_path) as op:
        job = {"destination": "mybot", "kind": "document", "r2_key": "x\x1b[2J\nid: forged"}
        [taken] = (await op.world.push(job))["accepted"]
        await op.world.outcome(taken["id"])
        shown = await cli("jobs", "show", taken["id"], *op.reach)
        assert "\nr2_key: x\\x1b[2J\\nid: forged\n" in shown.out
        for told in (shown, await cli("jobs", *op.reach), await cli("status", *op.reach)):
            assert "\x1b" not in told.out
            assert "\nid: forged" not in told.out


async def test_status_tells_queue_workers_and_destinations(object_store: ObjectStore, tmp_path: Path, way: str) -> None:
    async with operating(object_store, tmp_path, way) as op:
        await op.push_failing(2, "never")
        told = await cli("status", *op.reach)
        lines = told.out.splitlines()
        assert lines[0] == "queue: 2 failed"
        assert lines[1].startswith("workers: 0 of 5 busy")
        assert lines[2] == "mybot (telegram): 2 failed"
        [stats] = (await cli("status", "--json", *op.reach)).json()
        assert stats["queue"]["failed"] == 2


async def test_a_wrong_token_is_told_with_the_way_to_give_the_right_one(
    object_store: ObjectStore, tmp_path: Path, way: str
) -> None:
    async with running_emulator() as emulator:
        settings = settings_for(object_store, tmp_path / "s.db", {"mybot": telegram_table(emulator)})
        guarded = evolve(settings, auth=AuthSettings(tokens=("right-token",)))  # type: ignore[arg-type]
        async with running_service(guarded, token="right-token") as world:
            url = world.endpoints.websocket if way == "--url" else world.endpoints.http
            for command in (["status"], ["jobs"], ["find", "mybot", "photo", "a"], ["pause"], ["resume"]):
                refused = await cli(*command, way, url, "--token", "wrong")
                assert (refused.code, "--token" in refused.err) == (2, True)
                assert (await cli(*command, way, url, "--token", "right-token")).code in {0, 1}


async def test_a_push_is_followed_to_its_end_also_where_only_http_can_be_reached(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    keys = [f"over-http/{n}.bin" for n in range(3)]
    await put(object_store, {key: key.encode() * 100 for key in keys})
    async with operating(object_store, tmp_path, "--http-url") as op:
        pushed = await cli("push", *keys, "over-http/missing.bin", "--json", *op.reach)
        states = {job["r2_key"]: (job["state"], "result" in job) for job in pushed.json()}
        assert pushed.code == 1
        assert states == {**dict.fromkeys(keys, ("done", True)), "over-http/missing.bin": ("failed", False)}
        assert (await cli("push", keys[0], "--no-wait", *op.reach)).code == 0
        assert (await cli("push", keys[0], "--http-url", op.world.endpoints.http, *op.reach)).code == 0
    gone = await cli("push", keys[0], *op.reach)
    assert (gone.code, "--http-url" in gone.err) == (3, True)
    wrong = await cli("push", keys[0], "--http-url", object_store.endpoint_url)
    assert (wrong.code, "HTTP API" in wrong.err) == (3, True)


async def test_a_mistyped_prefix_destination_or_file_is_told_and_not_taken_for_success(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with operating(object_store, tmp_path) as op:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "reach.toml").write_text(
            f"[r2]\nendpoint_url = '{object_store.endpoint_url}'\nbucket = '{object_store.bucket}'\n"
            f"access_key_id = '{object_store.access_key_id}'\nsecret_access_key = '{object_store.secret_access_key}'\n"
        )
        nothing = await cli("push", "--prefix", "zzz/", "--config", "reach.toml", *op.reach)
        assert (nothing.code, nothing.out) == (0, "")
        assert "no key in the bucket begins with 'zzz/'" in nothing.err
        cold = await cli("find", "mybto", "photo", "a.png", *op.reach)
        assert cold.code == 1
        assert "no destination is called mybto; the service has: mybot" in cold.err
        absent = await cli("push", "jobs.jsonl", "--kind", "photo", *op.reach)
        assert absent.code == 2
        assert "jobs.jsonl cannot be read" in absent.err
        async with httpx.AsyncClient(base_url=op.world.endpoints.http, trust_env=False) as http:
            answer = await http.get("/v1/media/mybto/photo/a.png")
        assert answer.status_code == 404
        assert "configured: mybot" in answer.json()["detail"]


async def test_a_job_left_alone_is_named_so_that_it_can_be_asked_for_later(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with operating(object_store, tmp_path) as op:
        pushed = await cli("push", "later.pdf", "--kind", "document", "--no-wait", *op.reach)
        ids = [job["id"] for job in (await op.world.client.call("list", {}))["jobs"]]
        assert len(ids) == 1
        assert f"(job {ids[0]})" in pushed.out


async def test_an_address_that_ends_in_a_slash_may_be_joined_to_a_path_that_begins_with_one(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    async with operating(object_store, tmp_path) as op:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(op.world.endpoints.http.rstrip("/") + "//healthz")
        assert (answer.status_code, answer.text) == (200, "ok\n")
