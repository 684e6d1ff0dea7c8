"""A service must meet here what it would meet at Telegram: chats that refuse a kind, bots that are out, and topics."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from streamwarm.model import Kind
from streamwarm.sandbox.bot_api import BotTrouble, ChatRefusal, _parse_chat
from streamwarm.sandbox.bot_api_methods import Telegram
from streamwarm.sandbox.bot_api_rights import MAX_REFUSALS, Rights
from streamwarm.send.telegram.refusal_table import Verdict, row_of
from tests.worlds.bot_api import (
    CHANNEL,
    GROUP,
    OTHER_TOKEN,
    PERSON,
    TOKEN,
    Client,
    refusal,
    running,
    running_with_client,
)

BOT, OTHER_BOT = (int(token.partition(":")[0]) for token in (TOKEN, OTHER_TOKEN))
WORDS = {
    Kind.PHOTO: "photos",
    Kind.VIDEO: "videos",
    Kind.AUDIO: "music",
    Kind.DOCUMENT: "documents",
    Kind.ANIMATION: "animations",
    Kind.VOICE: "voice notes",
    Kind.VIDEO_NOTE: "video notes",
}


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_chat_refuses_one_kind_in_the_servers_own_words_and_takes_all_others(kind: Kind) -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.refuse(ChatRefusal(GROUP, kinds=(kind,)))
        for sent in Kind:
            answer = await client.upload(sent)
            if sent is kind:
                words = f"Bad Request: not enough rights to send {WORDS[kind]} to the chat"
                assert refusal(answer) == (400, words)
                assert row_of(400, words).verdict is Verdict.PAUSE_KIND
            else:
                assert answer[0] == 200
        assert (await client.upload(kind, chat_id=CHANNEL))[0] == 200
        assert [delivery.kind for delivery in emulator.deliveries if delivery.chat_id == GROUP].count(kind) == 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Kind.VOICE, "VOICE_MESSAGES_FORBIDDEN"), (Kind.VIDEO_NOTE, "user restricted receiving of video messages")],
)
async def test_a_person_refuses_voice_and_video_messages_in_other_words(kind: Kind, words: str) -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.refuse(ChatRefusal(PERSON, kinds=(kind,)))
        assert refusal(await client.upload(kind, chat_id=PERSON)) == (400, f"Bad Request: {words}")
        assert row_of(400, words).verdict is Verdict.PAUSE_KIND
        assert (await client.upload("photo", chat_id=PERSON))[0] == 200


@pytest.mark.parametrize(
    ("description", "verdict"),
    [
        (None, Verdict.PAUSE_CHAT),
        ("Bad Request: CHAT_GUEST_SEND_FORBIDDEN", Verdict.PAUSE_CHAT),
        ("Bad Request: SOMETHING_NOBODY_KNOWS", Verdict.UNKNOWN),
    ],
)
async def test_a_chat_refuses_everything_in_known_words_or_unknown_ones(
    description: str | None, verdict: Verdict
) -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.refuse(ChatRefusal(GROUP, description=description))
        for kind in Kind:
            status, said = refusal(await client.upload(kind))
            assert (status, row_of(status, said).verdict) == (400, verdict)
        assert (await client.call("sendMessage", json={"chat_id": GROUP, "text": "Hi"}))[0] == 400
        assert (await client.call("getChat", json={"chat_id": GROUP}))[0] == 200
        assert sum(emulator.rights.refused.values()) == len(Kind) + 1
        emulator.rights.clear_refusals()
        assert (await client.upload("voice"))[0] == 200


async def test_a_refusal_can_be_one_bots_alone() -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.refuse(ChatRefusal(GROUP, bot_id=OTHER_BOT))
        other = Client(emulator, client.http, OTHER_TOKEN)
        assert [(await one.upload("photo"))[0] for one in (client, other)] == [200, 400]


async def test_a_share_of_files_is_refused_every_time_by_one_chat_and_not_by_another() -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.refuse(*(ChatRefusal(chat, share=0.5) for chat in (GROUP, CHANNEL)))
        files = [f"file {number}".encode() for number in range(60)]

        async def refused_by(chat: int) -> set[bytes]:
            return {file for file in files if (await client.upload("audio", file, chat_id=chat))[0] == 400}

        refused = await refused_by(GROUP)
        assert 15 <= len(refused) <= 45
        assert await refused_by(GROUP) == refused
        assert await refused_by(CHANNEL) - refused
        assert refused - await refused_by(CHANNEL)


async def test_bad_files_are_refused_by_every_chat() -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.refuse(ChatRefusal(share=0.5))
        for number in range(20):
            file = f"file {number}".encode()
            assert len({(await client.upload("audio", file, chat_id=chat))[0] for chat in (GROUP, PERSON)}) == 1


@pytest.mark.parametrize(
    ("trouble", "answer", "reads"),
    [
        (BotTrouble.LOGGED_OUT, (400, "Logged out"), False),
        (BotTrouble.FROZEN, (400, "Bad Request: FROZEN_METHOD_INVALID"), True),
        (BotTrouble.WRONG_API_ID, (401, "Unauthorized: invalid api-id/api-hash"), False),
        (BotTrouble.REVOKED, (401, "Unauthorized"), False),
    ],
)
async def test_a_bot_that_is_out_is_told_so_in_the_servers_words_until_it_is_back(
    trouble: BotTrouble, answer: tuple[int, str], reads: bool
) -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.set_bot(BOT, trouble)
        assert refusal(await client.upload("video")) == answer
        assert row_of(*answer).verdict is Verdict.PAUSE_BOT
        me = await client.call("getMe")
        assert me[0] == 200 if reads else refusal(me) == answer
        assert (await Client(emulator, client.http, OTHER_TOKEN).upload("video"))[0] == 200
        emulator.rights.set_bot(BOT, None)
        assert (await client.upload("video"))[0] == 200


async def test_a_topic_that_the_chat_has_takes_messages_and_any_other_is_not_found() -> None:
    async with running_with_client() as (emulator, client):
        emulator.rights.set_topics(GROUP, [42])
        message = (await client.upload("photo", message_thread_id="42"))[1]["result"]
        assert (message["message_thread_id"], message["is_topic_message"]) == (42, True)
        assert emulator.deliveries[0].fields["message_thread_id"] == "42"
        for chat, topic in ((GROUP, "43"), (CHANNEL, "42")):
            answer = await client.upload("photo", chat_id=chat, message_thread_id=topic)
            assert refusal(answer) == (400, "Bad Request: message thread not found")
        assert "message_thread_id" not in (await client.upload("photo"))[1]["result"]
        emulator.rights.refuse(ChatRefusal(GROUP, topic=42, description="Bad Request: TOPIC_CLOSED"))
        assert refusal(await client.upload("photo", message_thread_id="42")) == (400, "Bad Request: TOPIC_CLOSED")
        assert (await client.upload("photo"))[0] == 200


async def test_topics_of_one_chat_share_its_rates(mock_clock: MockClock) -> None:
    async with running_with_client(enforce_rates=True, now=trio.current_time) as (emulator, client):
        emulator.rights.set_topics(GROUP, [1, 2])
        assert (await client.upload("photo", message_thread_id="1"))[0] == 200
        assert (await client.upload("photo", message_thread_id="2"))[0] == 429
        statuses = []
        for number in range(20):
            mock_clock.jump(1.0)
            statuses.append((await client.upload("photo", message_thread_id=str(1 + number % 2)))[0])
        assert statuses == [200] * 19 + [429]


async def ask(http: httpx.AsyncClient, base_url: str, method: str, path: str, body: Any = None) -> Any:
    answer = await http.request(method, f"{base_url}/sandbox/{path}", content=b"" if body is None else json.dumps(body))
    return answer.json()["result"] if answer.status_code == 200 else answer.json()["description"]


async def test_another_process_sets_and_clears_all_of_it() -> None:
    async with running() as emulator, httpx.AsyncClient() as http:
        client = Client(emulator, http)

        async def control(method: str, path: str, body: Any = None) -> Any:
            return await ask(http, emulator.base_url, method, path, body)

        rules = [{"chat_id": GROUP, "kinds": ["voice"]}, {"chat_id": CHANNEL, "description": "Bad Request: NEW_WORD"}]
        assert await control("POST", "refusals", rules) == 2
        statuses = [(await client.upload("voice", chat_id=chat))[0] for chat in (GROUP, GROUP, CHANNEL, PERSON)]
        assert statuses == [400, 400, 400, 200]
        told = await control("GET", "refusals")
        assert [rule["chat_id"] for rule in told["refusals"]] == [GROUP, CHANNEL]
        voice = {"bot_id": BOT, "topic": None, "kind": "voice"}
        assert told["refused"] == [
            {
                **voice,
                "chat_id": GROUP,
                "description": "Bad Request: not enough rights to send voice notes to the chat",
                "times": 2,
            },
            {**voice, "chat_id": CHANNEL, "description": "Bad Request: NEW_WORD", "times": 1},
        ]
        await control("DELETE", "refusals")
        assert (await control("GET", "refusals")) == {"refusals": [], "refused": told["refused"]}
        assert (await client.upload("voice"))[0] == 200

        assert await control("POST", "bots", {"bot_id": BOT, "trouble": "frozen"}) == 1
        assert await control("GET", "bots") == {str(BOT): "frozen"}
        assert (await client.upload("voice"))[0] == 400
        await control("POST", "bots", {"bot_id": BOT, "trouble": None})
        assert (await client.upload("voice"))[0] == 200
        await control("POST", "bots", {"bot_id": BOT, "trouble": "logged_out"})
        await control("DELETE", "bots")
        assert (await client.upload("voice"))[0] == 200

        await control("POST", "topics", {"chat_id": GROUP, "topics": [7]})
        assert await control("GET", "topics") == {str(GROUP): [7]}
        assert (await client.upload("voice", message_thread_id="7"))[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("refusals", {"chat": 1}, "chat"),
        ("refusals", {"kinds": ["song"]}, "song"),
        ("refusals", {"share": 0}, "share must be above 0"),
        ("refusals", {"status": 200}, "status 200 is not a refusal"),
        ("refusals", {"topic": 4}, "give chat_id, too"),
        ("refusals", [{}] * (MAX_REFUSALS + 1), "clear them first"),
        ("refusals", 5, "expected a JSON object"),
        ("bots", {"bot_id": 1, "trouble": "frozen"}, "the sandbox has no bot 1"),
        ("bots", {"bot_id": BOT, "trouble": "ill"}, "ill"),
        ("topics", {"chat_id": 1, "topics": []}, "the sandbox has no chat 1"),
    ],
)
async def test_what_cannot_be_meant_is_refused_in_words(path: str, body: Any, told: str) -> None:
    async with running() as emulator, httpx.AsyncClient() as http:
        said = await ask(http, emulator.base_url, "POST", path, body)
        assert said.startswith("Bad Request: not a ")
        assert told in said


def test_too_many_rules_are_refused() -> None:
    rights = Rights()
    rights.refuse(*[ChatRefusal()] * MAX_REFUSALS)
    with pytest.raises(ValueError, match="clear them first"):
        rights.refuse(ChatRefusal())


def test_a_chat_is_named_with_its_type_and_topics_on_the_command_line() -> None:
    chats = dict(map(_parse_chat, ["-1001", "-1002:supergroup/42/43"]))
    assert [chat.type for chat in chats.values()] == ["supergroup", "supergroup"]
    assert Telegram({}, chats, lambda: 0.0).rights.topics == {-1002: {42, 43}}
