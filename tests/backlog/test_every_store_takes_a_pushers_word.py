"""A push that names a digest says what an object is: it makes an unknown name findable, and never an old one new."""

from __future__ import annotations

from streamwarm.backlog.settlement import Done
from streamwarm.backlog.store import Store
from streamwarm.model import Kind, SeenObject, State
from tests.worlds.backlog import Clock, claim_one, photo, push_one

OLD, NEW = "0a" * 32, "0b" * 32


async def warm(store: Store, r2_key: str, sha256: str) -> None:
    pushed = await push_one(store, photo(r2_key, sha256=sha256))
    claim = await claim_one(store, pushed.id)
    seen = SeenObject(r2_key, 10, sha256[:4], None, sha256)
    await store.settle([Done(claim.lease, {"file_id": sha256[:2]}, seen)])


async def found(store: Store, r2_key: str) -> str | None:
    record = await store.find("bot", Kind.PHOTO, r2_key=r2_key)
    return None if record is None else str(record.result["file_id"])


async def test_the_same_bytes_under_another_name_are_found_by_that_name_too(store: Store) -> None:
    await warm(store, "a.jpg", OLD)
    pushed = await push_one(store, photo("copy.jpg", sha256=OLD))
    assert (pushed.state, pushed.duplicate) == (State.DONE, True)
    assert await found(store, "copy.jpg") == "0a"


async def test_an_old_list_of_digests_makes_no_old_version_new(store: Store, clock: Clock) -> None:
    await warm(store, "a.jpg", OLD)
    clock.at += 10
    await warm(store, "a.jpg", NEW)
    clock.at += 10
    pushed = await push_one(store, photo("a.jpg", sha256=OLD))
    assert pushed.state is State.DONE
    assert await found(store, "a.jpg") == "0b"


async def test_what_was_opened_for_a_name_goes_before_a_pushers_word(store: Store, clock: Clock) -> None:
    await warm(store, "a.jpg", OLD)
    slow = await claim_one(store, (await push_one(store, photo("copy.jpg"))).id)
    opened_at, clock.at = clock.at, clock.at + 10
    await push_one(store, photo("copy.jpg", sha256=OLD))
    assert await found(store, "copy.jpg") == "0a"
    seen = SeenObject("copy.jpg", 10, "e", None, NEW)
    await store.settle([Done(slow.lease, {"file_id": "0b"}, seen, opened_at=opened_at)])
    assert await found(store, "copy.jpg") == "0b"
