"""What a bot's owner loses without these, end to end over real servers: jobs to a chat that is gone or moved, time to a
429 that is another chat's, a second message that nobody was told of."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define

from streamwarm.sandbox.bot_api import BotApiEmulator, Fault, FaultKind
from streamwarm.sandbox.bot_api_rates import RateRules, Window
from streamwarm.sandbox.object_store import ObjectStore
from streamwarm.settings.schema import QueueSettings
from streamwarm.watch.observations import DestinationPaused, RetryScheduled
from tests.worlds.service import (
    DEADLINE_S,
    TOKEN,
    World,
    put,
    running_emulator,
    running_service,
    settings_for,
    telegram_table,
)

OLD, NEW, OTHER = -77, -1001077, -1001078
CHATS = [OLD, NEW, OTHER, *range(-2005, -2000)]
BODY = b"a small object"
RULES = RateRules(chat=Window(2, 1.0))
"""Two may follow each other closely, as at Telegram: a machine that stands still for seconds can bunch them. To the
letter, the rates are tested in virtual time (`tests/dispatch/test_rates.py`)."""


def job(key: str, **more: Any) -> dict[str, Any]:
    return {"destination": "mybot", "kind": "document", "r2_key": key, **more}


@define
class Bot:
    """A service with one bot, and the far side."""

    emulator: BotApiEmulator
    world: World

    async def stats(self) -> dict[str, Any]:
        return (await self.world.client.call("stats", {}))["destinations"]["mybot"]

    async def warm(self, *keys: str, **more: Any) -> list[dict[str, Any]]:
        """Push, and wait for how each ended."""
        reply = await self.world.push(*(job(key, **more) for key in keys))
        return await self.world.outcomes([item["id"] for item in reply["accepted"]])

    async def until(self, what: Any) -> Any:
        """Look at the stats until `what` says yes of them."""
        with trio.fail_after(DEADLINE_S):
            while not what(stats := await self.stats()):
                await trio.sleep(0.05)
            return stats


@asynccontextmanager
async def running_bot(
    store: ObjectStore,
    folder: Path,
    *faults: Fault,
    chats: list[int],
    queue: QueueSettings | None = None,
    enforce_rates: bool = False,
    **table: Any,
) -> AsyncIterator[Bot]:
    async with running_emulator(chats=CHATS, enforce_rates=enforce_rates, rate_rules=RULES) as emulator:
        emulator.inject(*faults)
        tables = {"mybot": telegram_table(emulator, TOKEN, chats=chats, **table)}
        settings = settings_for(store, folder / "s.db", tables, queue=queue or QueueSettings(max_attempts=1))
        async with running_service(settings) as world:
            yield Bot(emulator, world)


async def test_a_group_that_was_upgraded_is_followed_at_once_and_remembered_after_a_restart(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"moved/1": BODY, "moved/2": BODY})
    moved = Fault(FaultKind.MIGRATED, chat_id=OLD, migrate_to_chat_id=NEW, times=None)
    async with running_bot(object_store, tmp_path, moved, chats=[OLD]) as bot:
        (first,) = await bot.warm("moved/1")
        assert (first["state"], first["attempt"], first["result"]["chat_id"]) == ("done", 1, NEW)
        assert not any(isinstance(seen, RetryScheduled) for seen in bot.world.observed)
        assert (await bot.stats())["chats"][0]["moved_to"] == str(NEW)
    async with running_bot(object_store, tmp_path, moved, chats=[OLD]) as bot:
        (second,) = await bot.warm("moved/2")
        assert second["result"]["chat_id"] == NEW
        assert bot.emulator.traffic.requests == 1  # nothing was tried under the old id again


@pytest.mark.parametrize(
    ("status", "words"), [(403, "Forbidden: bot was kicked from the group chat"), (400, "Bad Request: chat not found")]
)
async def test_a_dead_chat_costs_no_attempt_and_the_next_one_takes_over(
    status: int, words: str, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"dead/{n}": BODY for n in range(4)})
    dead = Fault(FaultKind.REFUSED, chat_id=OLD, status=status, description=words, times=None)
    async with running_bot(object_store, tmp_path, dead, chats=[OLD, OTHER]) as bot:
        ended = await bot.warm(*(f"dead/{n}" for n in range(4)))
        assert {(one["state"], one["attempt"], one["result"]["chat_id"]) for one in ended} == {("done", 1, OTHER)}
        stats = await bot.stats()
        assert stats["paused"] is None
        (old, other) = stats["chats"]
        assert words in old["paused"]["reason"]
        assert "streamwarm resume" in stats["hint"]
        assert other["paused"] is None


async def test_a_bot_without_a_living_chat_keeps_its_jobs_and_goes_on_once_it_is_mended(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"kept/{n}": BODY for n in range(3)})
    dead = Fault(FaultKind.REFUSED, status=403, description="Forbidden: bot was kicked", times=None)
    async with running_bot(object_store, tmp_path, dead, chats=[OLD, OTHER]) as bot:
        reply = await bot.world.push(*(job(f"kept/{n}") for n in range(3)))
        stats = await bot.until(lambda stats: stats["paused"] and stats["queue"].get("queued") == 3)
        assert "add the bot to the warm-up chat" in stats["paused"]["reason"]
        bot.emulator.clear_faults()
        await bot.world.client.call("resume", {"destination": "mybot"})
        ended = await bot.world.outcomes([item["id"] for item in reply["accepted"]])
        assert {(one["state"], one["attempt"]) for one in ended} == {("done", 1)}


async def test_a_revoked_token_keeps_the_jobs_and_says_what_to_do(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {f"token/{n}": BODY for n in range(3)})
    revoked = Fault(FaultKind.REFUSED, status=401, description="Unauthorized", times=None)
    async with running_bot(object_store, tmp_path, revoked, chats=[OLD, OTHER]) as bot:
        await bot.world.push(*(job(f"token/{n}") for n in range(3)))
        stats = await bot.until(lambda stats: stats["paused"])
        assert "@BotFather" in stats["paused"]["reason"]
        assert TOKEN.partition(":")[2] not in str(stats)
        kept = await bot.until(lambda stats: not stats["queue"].get("running"))
        assert sum(kept["queue"].get(state, 0) for state in ("queued", "waiting")) == 3


async def test_a_429_is_its_chats_alone_until_a_second_chat_has_one_too(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"429/{n}": BODY for n in range(6)})
    limited = Fault(FaultKind.RATE_LIMITED, chat_id=OLD, retry_after=50, times=None)
    async with running_bot(object_store, tmp_path, limited, chats=[OLD, OTHER]) as bot:
        ended = await bot.warm(*(f"429/{n}" for n in range(4)))
        assert {(one["state"], one["attempt"], one["result"]["chat_id"]) for one in ended} == {("done", 1, OTHER)}
        stats = await bot.stats()
        assert stats["paused"] is None
        assert stats["chats"][0]["paused"]["until"]
        bot.emulator.inject(Fault(FaultKind.RATE_LIMITED, chat_id=OTHER, retry_after=40))
        await bot.world.push(job("429/4"))
        stats = await bot.until(lambda stats: stats["paused"])
        assert (stats["paused"]["by"], "Too Many Requests" in stats["paused"]["reason"]) == ("destination", True)
        silenced = [seen.lane for seen in bot.world.observed if isinstance(seen, DestinationPaused)]
        assert set(silenced[:-1]) == {str(OLD)}
        assert silenced[-1] is None


async def test_a_group_in_slow_mode_stops_no_other_chat(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {f"slow/{n}": BODY for n in range(6)})
    slow = Fault(FaultKind.RATE_LIMITED, chat_id=OLD, retry_after=3599, times=None)
    async with running_bot(object_store, tmp_path, slow, chats=[OLD, OTHER]) as bot:
        ended = await bot.warm(*(f"slow/{n}" for n in range(6)))
        assert {(one["state"], one["attempt"], one["result"]["chat_id"]) for one in ended} == {("done", 1, OTHER)}
        assert (await bot.stats())["paused"] is None


async def test_telegrams_rates_are_kept_over_real_connections(object_store: ObjectStore, tmp_path: Path) -> None:
    await put(object_store, {f"rate/{n}": BODY for n in range(15)})
    chats = list(range(-2005, -2000))
    settings: dict[str, Any] = {"chats": chats, "enforce_rates": True, "rates": "telegram"}
    async with running_bot(object_store, tmp_path, **settings) as bot:
        ended = await bot.warm(*(f"rate/{n}" for n in range(15)))
        assert {(one["state"], one["attempt"]) for one in ended} == {("done", 1)}
        assert bot.emulator.traffic.requests == 15  # none was refused: all were taken the first time
        delivered_to = [delivery.chat_id for delivery in bot.emulator.deliveries]
        assert [delivered_to.count(chat) for chat in chats] == [3] * 5
        stats = await bot.stats()
        assert stats["limits"] == {"messages_per_minute": 100, "chats": 5}
        assert [chat["last_minute"] for chat in stats["chats"]] == [3] * 5


async def test_what_telegram_fetches_by_itself_counts_as_a_message_too(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"fetched/{n}.pdf": BODY for n in range(3)}, content_type="application/pdf")
    settings: dict[str, Any] = {"chats": [OLD], "enforce_rates": True, "rates": "telegram", "handoff": "auto"}
    async with running_bot(object_store, tmp_path, **settings) as bot:
        ended = await bot.warm(*(f"fetched/{n}.pdf" for n in range(3)))
        assert {(one["state"], one["attempt"], one["result"]["source"]) for one in ended} == {("done", 1, "handoff")}
        assert bot.emulator.traffic.requests == 3
        assert (await bot.stats())["chats"][0]["last_minute"] == 3


async def test_a_restart_does_not_forget_what_its_chats_took_just_now(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"again/1": BODY})
    async with running_bot(object_store, tmp_path, chats=[OLD, OTHER], rates="telegram") as bot:
        (done,) = await bot.warm("again/1")
    async with running_bot(object_store, tmp_path, chats=[OLD, OTHER], rates="telegram") as bot:
        taken = {chat["chat"]: chat["last_minute"] for chat in (await bot.stats())["chats"]}
        used = str(done["result"]["chat_id"])
        assert taken == {str(OLD): 0, str(OTHER): 0, used: 1}


async def test_a_backlog_longer_than_a_minute_says_that_more_chats_are_the_lever(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {f"many/{n}": BODY for n in range(100)})
    async with running_bot(object_store, tmp_path, chats=[OLD], rates="telegram") as bot:
        await bot.world.client.call("pause", {"destination": "mybot"})
        await bot.world.push(*(job(f"many/{n}") for n in range(100)), watch=False)
        stats = await bot.stats()
        assert stats["limits"] == {"messages_per_minute": 20, "chats": 1}
        assert stats["eta_s"] is None  # while it is paused, nobody knows
        assert "each further group in `chats` adds 20" in stats["hint"]
        resumed = await bot.world.client.call("resume", {"destination": "mybot"})
        assert 270 <= resumed["destinations"]["mybot"]["eta_s"] <= 300


async def test_an_answer_that_was_lost_waits_for_a_person_where_the_settings_say_hold(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"hold/1": BODY, "hold/2": BODY})
    lost = Fault(FaultKind.NO_ANSWER, times=2)
    async with running_bot(object_store, tmp_path, lost, chats=[OLD], on_unknown="hold") as bot:
        first, second = await bot.warm("hold/1", "hold/2")
        for one in (first, second):
            assert (one["state"], one["error"]["code"]) == ("unknown", "delivery_unknown")
            assert not one["possible_duplicate"]
        again = (await bot.world.push(job("hold/1")))["accepted"][0]  # a push does not decide for the person
        assert (again["id"], again["state"], again["duplicate"]) == (first["id"], "unknown", True)
        await bot.world.client.call("retry", {"id": first["id"]})
        resent = await bot.world.outcome(first["id"])
        assert (resent["state"], resent["possible_duplicate"]) == ("done", True)
        cancelled = await bot.world.client.call("cancel", {"id": second["id"]})
        assert cancelled["state"] == "cancelled"
        assert [d.sha256 for d in bot.emulator.deliveries] == [hashlib.sha256(BODY).hexdigest()] * 3


async def test_a_resend_after_a_lost_answer_is_flagged_and_only_that_one(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"resend/1": BODY, "resend/2": BODY})
    queue = QueueSettings(max_attempts=2)
    async with running_bot(object_store, tmp_path, Fault(FaultKind.NO_ANSWER), chats=[OLD], queue=queue) as bot:
        (first,) = await bot.warm("resend/1")
        (second,) = await bot.warm("resend/2")
        assert (first["state"], first["attempt"], first["possible_duplicate"]) == ("done", 2, True)
        assert (second["state"], second["attempt"], second["possible_duplicate"]) == ("done", 1, False)


@pytest.mark.parametrize(
    "fault",
    [
        None,
        Fault(FaultKind.REFUSED, method="deleteMessage", description="Bad Request: message can't be deleted"),
        Fault(FaultKind.NO_ANSWER, method="deleteMessage"),
        Fault(FaultKind.RATE_LIMITED, method="deleteMessage", retry_after=60),
    ],
    ids=["deleted", "refused", "no answer", "429"],
)
async def test_a_message_is_deleted_after_warming_where_asked_for_and_never_at_the_jobs_cost(
    fault: Fault | None, object_store: ObjectStore, tmp_path: Path
) -> None:
    await put(object_store, {"delete/1": BODY, "delete/2": BODY})
    faults = [fault] if fault else []
    async with running_bot(object_store, tmp_path, *faults, chats=[OLD], delete_message=True) as bot:
        for key in ("delete/1", "delete/2"):
            (one,) = await bot.warm(key)
            assert (one["state"], one["attempt"]) == ("done", 1)
            assert bot.emulator.digest_of(one["result"]["file_id"]) == one["result"]["sha256"]
        with trio.fail_after(DEADLINE_S):
            while bot.emulator.traffic.requests < 4:
                await trio.sleep(0.02)
        assert (await bot.stats())["paused"] is None
