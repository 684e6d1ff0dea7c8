"""One member of a service of several processes: `python -m streamwarm.processes.member`, started by `supervisor.py`.

Its standard input brings its role and the orders to stop; its standard output carries its reports. It ignores signals.
Those that go to the whole process group (Ctrl-C, systemd) reach the supervisor too, and a second order would end at
once what the first one drains.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial

import trio

from streamwarm.errors import SettingsError, StoreUnavailable
from streamwarm.printable import printable
from streamwarm.processes.messages import UNREACHABLE, USAGE, Start, Started, Stop, decode, encode, lines_of
from streamwarm.redact import make_redactor
from streamwarm.service.log import logger_for
from streamwarm.service.machine import real_machine
from streamwarm.service.members import LostMember, Membership, Report
from streamwarm.service.nursery import run_service
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.secrets import secrets_in_settings

REPORTS_MAX = 256
"""Reports that may wait to be summed up; each member sends two per second. They pile up only while the service stops.
Further ones are then dropped, so that an order to stop is not read late."""


def main() -> None:
    """Run until the supervisor says stop. The exit code says whether settings or store prevented the start."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    secrets: list[str] = []
    try:
        trio.run(_serve, secrets)
    except BaseException as exc:
        cause, redact = _innermost(exc), make_redactor(secrets)
        if not isinstance(cause, Exception):
            raise
        if not isinstance(cause, SettingsError | StoreUnavailable):
            _write(redact("".join(traceback.format_exception(exc))).rstrip())
            sys.exit(1)
        _write(f"streamwarm: {redact(str(cause))}")
        sys.exit(USAGE if isinstance(cause, SettingsError) else UNREACHABLE)


def _write(text: str) -> None:
    print("\n".join(map(printable, text.split("\n"))), file=sys.stderr)  # noqa: T201


def _innermost(exc: BaseException) -> BaseException:
    """The first cause inside the groups in which nurseries wrap it."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


async def _serve(secrets: list[str]) -> None:
    """`secrets` is filled with those of the settings, which the supervisor sends."""
    # Copies: whatever else writes to the standard output must not land in the middle of a message.
    orders, answers = trio.lowlevel.FdStream(os.dup(0)), trio.lowlevel.FdStream(os.dup(1))
    os.dup2(2, 1)
    async with orders, answers, trio.open_nursery() as nursery:
        lines = lines_of(orders)
        start: Start = decode(await anext(lines))
        secrets += secrets_in_settings(start.settings)
        shutdown = Shutdown()
        incoming, reports = trio.open_memory_channel[Report | LostMember](REPORTS_MAX)
        nursery.start_soon(_follow_orders, lines, shutdown, incoming)

        async def send(message: Report | Started) -> None:
            with suppress(trio.BrokenResourceError):  # the supervisor is gone; `_follow_orders` then stops us
                await answers.send_all(encode(message))

        membership = Membership(start.role, reports, send)
        async with trio.open_nursery() as service:
            run = partial(
                run_service, start.settings, shutdown, logger_for(start.settings), real_machine(), membership=membership
            )
            endpoints = await service.start(run)
            await send(Started(endpoints.websocket, endpoints.http))
        nursery.cancel_scope.cancel()


async def _follow_orders(
    lines: AsyncGenerator[bytes, None], shutdown: Shutdown, incoming: trio.MemorySendChannel[Report | LostMember]
) -> None:
    """Shut down as the supervisor orders, or when it is gone, and pass on the reports of other members."""
    async for line in lines:
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
