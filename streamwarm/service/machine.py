"""What the service takes from the machine it runs on: clocks, randomness, threads and the network.

`serve` passes `real_machine()`; a simulation passes a machine of its own. No other module of the service asks for the
time, a random number, a thread or a socket by itself (`tests/test_seams.py`). Waiting needs nothing here: `trio.sleep`
and deadlines follow the clock that `trio.run` is given.
"""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

import trio
from attrs import frozen

from streamwarm.accept.clients import Listener, open_listeners
from streamwarm.net.backend import Backend
from streamwarm.net.guard import resolve
from streamwarm.net.stream import TCPBackend
from streamwarm.threads import RunSync


@frozen
class Machine:
    """`now` gives Unix seconds, `monotonic` seconds that never go back. `random` is uniform in [0, 1); `token_hex(n)`
    gives `2 * n` hex digits that cannot be guessed. `hostname` names the machine in what is kept of attempts.

    `network` connects to a host and a port; `resolve` gives the addresses of a name, at least one; `listen` opens the
    listeners of a host and a port (0: any free one) and raises `SettingsError`.
    """

    now: Callable[[], float]
    monotonic: Callable[[], float]
    random: Callable[[], float]
    token_hex: Callable[[int], str]
    run_sync: RunSync
    network: Backend
    resolve: Callable[[str, int], Awaitable[Sequence[str]]]
    listen: Callable[[str, int], Awaitable[Sequence[Listener]]]
    hostname: str = "localhost"

    def new_id(self) -> str:
        """A job's id: the milliseconds, so that ids sort by age, and 64 random bits."""
        return f"{int(self.now() * 1000):012x}{self.token_hex(8)}"

    def new_token(self) -> str:
        """A name that is unique and cannot be guessed: 256 bits."""
        return self.token_hex(32)


def real_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        now=time.time,
        monotonic=time.monotonic,
        random=random.random,
        token_hex=secrets.token_hex,
        run_sync=trio.to_thread.run_sync,
        network=TCPBackend(),
        resolve=resolve,
        listen=open_listeners,
        hostname=socket.gethostname(),
    )
