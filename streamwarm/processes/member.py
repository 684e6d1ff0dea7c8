"""One of several processes that are one service: `python -m streamwarm.processes.member`, started by `supervisor.py`.

It is told what it is and when to stop over its standard input, and tells what it does over its standard output. Signals
mean nothing to it: the supervisor gets them too, also where they go to the whole group (Ctrl-C, systemd), and two
messages would end at once what one should drain.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial

import trio

from streamwarm.errors import SettingsError, StoreUnavailable
from streamwarm.processes.messages import UNREACHABLE, USAGE, Start, Started, Stop, decode, encode, lines_of
from streamwarm.service.crew import Link, Lost, Report
from streamwarm.service.log import logger_for
from streamwarm.service.machine import real_machine
from streamwarm.service.nursery import Shutdown, run_service

REPORTS_MAX = 256
"""Reports that wait to be summed up, two a second from each member. Nobody waits but a service that is stopping: what
comes then is of no use, and an order to stop must not stand behind it."""


def main() -> None:
    """Run until the supervisor stops us. The exit code says whether the settings or the store kept us from starting."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        trio.run(_serve)
    except BaseException as exc:
        cause = _innermost(exc)
        if not isinstance(cause, SettingsError | StoreUnavailable):
            raise
        print(f"streamwarm: {cause}", file=sys.stderr)  # noqa: T201
        sys.exit(USAGE if isinstance(cause, SettingsError) else UNREACHABLE)


def _innermost(exc: BaseException) -> BaseException:
    """The first cause inside the groups that nurseries wrap it in."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


async def _serve() -> None:
    # Copies: what else writes to the standard output must not do so in the middle of a message.
    orders, answers = trio.lowlevel.FdStream(os.dup(0)), trio.lowlevel.FdStream(os.dup(1))
    os.dup2(2, 1)
    async with orders, answers, trio.open_nursery() as nursery:
        told = lines_of(orders)
        start: Start = decode(await anext(told))
        shutdown = Shutdown()
        incoming, reports = trio.open_memory_channel[Report | Lost](REPORTS_MAX)
        nursery.start_soon(_obey, told, shutdown, incoming)

        async def tell(message: Report | Started) -> None:
            with suppress(trio.BrokenResourceError):  # the supervisor is gone, and `_obey` knows
                await answers.send_all(encode(message))

        link = Link(start.role, reports, tell)
        async with trio.open_nursery() as service:
            run = partial(run_service, start.settings, shutdown, logger_for(start.settings), real_machine(), link=link)
            endpoints = await service.start(run)
            await tell(Started(endpoints.websocket, endpoints.http))
        nursery.cancel_scope.cancel()


async def _obey(
    told: AsyncGenerator[bytes, None], shutdown: Shutdown, incoming: trio.MemorySendChannel[Report | Lost]
) -> None:
    async for line in told:
        message = decode(line)
        if isinstance(message, Stop):
            shutdown.signal()
        else:
            with suppress(trio.WouldBlock):
                incoming.send_nowait(message)
    if not shutdown.requested.is_set():
        shutdown.signal()  # the supervisor is gone


if __name__ == "__main__":
    main()
