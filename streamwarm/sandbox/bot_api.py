"""The Bot API emulator: a Telegram-shaped HTTP server for loopback that keeps digests instead of files.

Bots send requests to `{base_url}/bot<token>/<method>`. Deliveries can be read and faults set in the same process
(`BotApiEmulator`), or from another one under `/sandbox/` (`bot_api_control.py`). Uploads are read piece by piece and
digested; no body is held in memory.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import click
import trio
from attrs import field, frozen

from streamwarm.net.pool import open_client
from streamwarm.sandbox.bot_api_emulator import BOT_PATTERN, BotApiEmulator
from streamwarm.sandbox.bot_api_messages import Bot, Chat
from streamwarm.sandbox.bot_api_methods import Delivery, Telegram
from streamwarm.sandbox.bot_api_rates import RateRules
from streamwarm.sandbox.bot_api_rights import BotTrouble, ChatRefusal, Rights
from streamwarm.sandbox.faults import Fault, FaultKind

__all__ = [
    "BotApiEmulator",
    "BotTrouble",
    "Chat",
    "ChatRefusal",
    "Delivery",
    "EmulatorSettings",
    "Fault",
    "FaultKind",
    "Rights",
    "serve_bot_api",
]

MAX_CONNECTIONS = 1000
"""The most connections at a time: far more than a service of five workers opens."""


@frozen
class EmulatorSettings:
    """The emulator's bots, chats and rules.

    `bots` are tokens (`<digits>:<text>`), `chats` are by id. `keep` bounds the deliveries and messages that are
    remembered. `strict_images` refuses a photo whose header cannot be read. `latency_s` passes before every answer.
    Raises `ValueError` for a token of another form.
    """

    bots: Sequence[str] = field(repr=False)
    chats: Mapping[int, Chat]
    local_server: bool = False
    strict_images: bool = False
    enforce_rates: bool = False
    rate_rules: RateRules = field(factory=RateRules)
    latency_s: float = 0.0
    keep: int = 100_000

    @bots.validator
    def _check_bots(self, _: object, tokens: Sequence[str]) -> None:
        if not all(re.fullmatch(BOT_PATTERN, token) for token in tokens):
            raise ValueError("a bot token must be digits, a colon, and letters, digits, '_' or '-'")


async def serve_bot_api(
    settings: EmulatorSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    now: Callable[[], float] = time.time,
    task_status: trio.TaskStatus[BotApiEmulator] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. `nursery.start` returns the `BotApiEmulator` once it listens.

    Port 0 means any free port. `now` (Unix seconds) dates the messages and drives the rates. Raises `OSError` if the
    port is in use.
    """
    telegram = Telegram(
        bots={token: Bot(token) for token in settings.bots},
        chats=settings.chats,
        now=now,
        local_server=settings.local_server,
        strict_images=settings.strict_images,
        enforce_rates=settings.enforce_rates,
        rate_rules=settings.rate_rules,
        keep=settings.keep,
    )
    async with open_client() as client, trio.open_nursery() as nursery:
        emulator = BotApiEmulator(telegram, client, latency_s=settings.latency_s)
        listeners = await nursery.start(
            partial(trio.serve_tcp, _bounded(emulator), port, host=host, handler_nursery=nursery)
        )
        address, bound_port = listeners[0].socket.getsockname()[:2]
        emulator.base_url = f"http://{f'[{address}]' if ':' in address else address}:{bound_port}"
        task_status.started(emulator)


def _bounded(emulator: BotApiEmulator) -> Callable[[trio.SocketStream], Awaitable[None]]:
    slots = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def serve(stream: trio.SocketStream) -> None:
        try:
            slots.acquire_on_behalf_of_nowait(stream)
        except trio.WouldBlock:
            await stream.aclose()
            return
        try:
            await emulator.serve_connection(stream)
        finally:
            slots.release_on_behalf_of(stream)

    return serve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0 picks a free one.")
@click.option("--token", "tokens", multiple=True, required=True, help="A bot's token; may be repeated.")
@click.option("--chat", "chats", multiple=True, required=True, help="ID[:TYPE][/TOPIC…], TYPE supergroup by default.")
@click.option("--local-server", is_flag=True, help="Take uploads of up to 2000 MB.")
@click.option("--enforce-rates", is_flag=True, help="Answer 429 as Telegram's rates would have it.")
def main(
    *,
    host: str,
    port: int,
    tokens: tuple[str, ...],
    chats: tuple[str, ...],
    local_server: bool,
    enforce_rates: bool,
) -> None:
    """Run the Bot API emulator until interrupted; the first line of output is {"base_url": URL}."""
    try:
        settings = EmulatorSettings(
            tokens,
            dict(_parse_chat(chat) for chat in chats),
            local_server=local_server,
            enforce_rates=enforce_rates,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    trio.run(_serve_and_announce, settings, host, port)


def _parse_chat(text: str) -> tuple[int, Chat]:
    named, *topics = text.split("/")
    chat_id, _, chat_type = named.partition(":")
    return int(chat_id), Chat(chat_type or "supergroup", topics=tuple(map(int, topics)))


async def _serve_and_announce(settings: EmulatorSettings, host: str, port: int) -> None:
    async with trio.open_nursery() as nursery:
        emulator: BotApiEmulator = await nursery.start(partial(serve_bot_api, settings, host=host, port=port))
        click.echo(json.dumps({"base_url": emulator.base_url}))


if __name__ == "__main__":
    main()
