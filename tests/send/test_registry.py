"""Destinations must not come into each other's way, nor lend each other what only one of them may do."""

from __future__ import annotations

import secrets
import time

import httpx

from streamwarm.send.registry import open_destinations
from streamwarm.settings.destinations import parse_destinations
from tests.worlds.scripted_bucket import NO_TLS


async def test_each_type_has_a_client_of_its_own_and_the_guarded_have_theirs_apart() -> None:
    opened: list[bool] = []

    def open_client(*, guarded: bool) -> httpx.AsyncClient:
        opened.append(guarded)
        return httpx.AsyncClient(verify=NO_TLS)

    bucket = {"type": "s3", "endpoint_url": "http://10.0.0.1:9000", "bucket": "b", "access_key_id": "i"}
    tables = {
        "bot": {"type": "telegram", "token": "1:a", "chats": [-1]},
        "other-bot": {"type": "telegram", "token": "2:b", "chats": [-2]},
        "backup": {**bucket, "secret_access_key": "s"},
        "public": {"type": "http", "url": "https://h.example/{r2_key}"},
        "other-public": {"type": "http", "url": "https://i.example/{r2_key}"},
        "private": {"type": "http", "url": "http://10.0.0.1/{r2_key}", "allow_private": True},
    }
    seams = {"now": time.time, "token_hex": secrets.token_hex}
    async with open_destinations(parse_destinations(tables), open_client, **seams) as destinations:
        assert list(destinations) == list(tables)
        assert opened == [False, False, True, False]  # bots, buckets, public endpoints, private ones
