"""Runs the service for a command: logs by the settings, shuts down at signals, and passes exceptions on."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from streamwarm.service.log import logger_for
from streamwarm.service.machine import real_machine
from streamwarm.service.nursery import run_service
from streamwarm.service.ready_file import Endpoints
from streamwarm.service.shutdown import Shutdown
from streamwarm.settings.schema import Settings
from streamwarm.watch.observations import Observer


@asynccontextmanager
async def running_service(settings: Settings, observe: Observer) -> AsyncIterator[Endpoints]:
    """Run a service for this block; it drains at the exit."""
    shutdown = Shutdown()
    async with trio.open_nursery() as nursery:
        endpoints: Endpoints = await nursery.start(partial(run_service, settings, shutdown, observe, real_machine()))
        yield endpoints
        shutdown.signal()


async def serve_until_signalled(settings: Settings) -> bool:
    """Serve until SIGTERM or SIGINT; a second signal ends it at once. Returns True if SIGINT came."""
    shutdown = Shutdown()
    interrupted = False
    # This handler is back in place once the receiver is closed: a SIGTERM at exit must not change the exit code.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                nonlocal interrupted
                async for number in signals:
                    interrupted = interrupted or number == signal.SIGINT
                    shutdown.signal()

            nursery.start_soon(listen)
            await _serve(settings, shutdown)
            nursery.cancel_scope.cancel()
    return interrupted


async def _serve(settings: Settings, shutdown: Shutdown) -> None:
    if settings.serve.processes == 1:
        await run_service(settings, shutdown, logger_for(settings), real_machine())
        return
    # Imported here: a service of one process has no need of it.
    from streamwarm.processes.supervisor import supervise

    await supervise(settings, shutdown, logger_for(settings), real_machine())


async def until_signalled() -> None:
    """Return at the first SIGTERM or SIGINT."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return
