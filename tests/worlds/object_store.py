"""A real S3 server for the whole test session: SeaweedFS, started the first time a test asks for it.

It lives in a trio run of its own on a thread, because pytest-trio's fixtures live no longer than one test.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue

import pytest
import trio

from streamwarm.sandbox.object_store import ObjectStore, ObjectStoreSettings, serve_object_store

STOP_TIMEOUT_S = 30.0


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A running, empty bucket. Tests share it: give keys a prefix of your own."""
    started: Queue[tuple[ObjectStore, trio.lowlevel.TrioToken, trio.CancelScope] | BaseException] = Queue()

    async def main() -> None:
        settings = ObjectStoreSettings("test-access-key", "test-secret-key", bucket="media")
        async with trio.open_nursery() as nursery:
            store = await nursery.start(serve_object_store, settings)
            started.put((store, trio.lowlevel.current_trio_token(), nursery.cancel_scope))

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            started.put(error)

    thread = threading.Thread(target=run, name="object-store")
    thread.start()
    outcome = started.get()
    if isinstance(outcome, BaseException):
        raise outcome
    store, token, scope = outcome
    try:
        yield store
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=token)
        thread.join(STOP_TIMEOUT_S)
        assert not thread.is_alive(), "the object store did not stop"
