"""Records in pages and from elsewhere: in every store."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve

from streamwarm.backlog.records import RecordFilter, RecordPlace
from streamwarm.backlog.store import Store
from streamwarm.model import Kind, NewJob, Refresh, SourceState, WarmRecord
from tests.worlds.backlog import Clock, photo
from tests.worlds.records import (
    ONE,
    Found,
    Gone,
    answer,
    compare,
    counted,
    every_record,
    record,
    recounted,
    warm_version,
)

KEYS = ["B", "a", "a/1", "a/10", "a/2", "a0", "é", "\u00ff", "z", "\U0001f600", "\ufb01"]


def made_elsewhere(r2_key: str, file_id: str = "theirs", **fields: object) -> WarmRecord:
    result = {"file_id": file_id, "source": "import"}
    plain = WarmRecord("bot", Kind.PHOTO, r2_key, None, 0, result, "", 900_000.0, opened_at=900_000.0)
    return evolve(plain, **fields)


async def test_every_record_is_listed_once_in_byte_order_whatever_the_page(store: Store) -> None:
    for number, key in enumerate(Random(1).sample(KEYS, len(KEYS))):
        await warm_version(store, str(number), photo(key))
    await warm_version(store, "1", NewJob("bot", Kind.DOCUMENT, "a"))
    await warm_version(store, "1", photo("a", destination="other"))
    wanted = sorted([*KEYS, "a", "a"], key=str.encode)
    for limit in (1, 2, 5, 13, 100):
        listed = await every_record(store, limit=limit)
        assert [one.r2_key for one in listed] == wanted
        places = [RecordPlace(one.r2_key, one.destination, one.kind.value, one.account) for one in listed]
        assert places == sorted(places, key=lambda place: [text.encode() for text in place])


async def test_a_prefix_lists_its_own_records_alone(store: Store) -> None:
    for number, key in enumerate(KEYS):
        await warm_version(store, str(number), photo(key))
    for prefix in ("", "a", "a/", "a/1", "é", "none", "\U0001f600"):
        for limit in (1, 3, 100):
            listed = await every_record(store, RecordFilter(prefix=prefix), limit)
            assert [one.r2_key for one in listed] == sorted((k for k in KEYS if k.startswith(prefix)), key=str.encode)


async def test_a_filter_finds_what_it_names_and_superseded_versions_are_not_listed(store: Store, clock: Clock) -> None:
    for number in range(12):
        await warm_version(store, str(number), photo(f"{number:02}.jpg"))
    clock.at += 1
    await warm_version(store, "x", photo("00.jpg", refresh=Refresh.ALWAYS))
    await warm_version(store, "1", NewJob("bot", Kind.VIDEO, "05.jpg"))
    await warm_version(store, "1", photo("06.jpg", destination="other"))
    clock.at += 1
    for number in (1, 4, 7):
        await compare(store, Found("new"), f"{number:02}.jpg")
    await compare(store, Gone(), "09.jpg")
    flat = made_elsewhere("10.jpg", result={"file_id": "f", "source": "import", "warnings": ["no_dimensions"]})
    await store.import_records([flat], replace=True)

    async def keys(which: RecordFilter) -> list[str]:
        found = [[one.r2_key for one in await every_record(store, which, limit)] for limit in (1, 2, 50)]
        assert found[0] == found[1] == found[2]
        return found[0]

    assert await keys(RecordFilter(source_state=SourceState.CHANGED)) == ["01.jpg", "04.jpg", "07.jpg"]
    assert await keys(RecordFilter(source_state=SourceState.GONE)) == ["09.jpg"]
    assert len(await keys(RecordFilter(source_state=SourceState.CURRENT))) == 10
    assert await keys(RecordFilter(kind=Kind.VIDEO)) == ["05.jpg"]
    assert await keys(RecordFilter(destination="other")) == ["06.jpg"]
    assert await keys(RecordFilter(warning="no_dimensions")) == ["10.jpg"]
    assert await keys(RecordFilter(warning="no_thumbnail")) == []
    assert await keys(RecordFilter(source_state=SourceState.CHANGED, prefix="07")) == ["07.jpg"]
    assert await counted(store) == await recounted(store)


async def test_what_changes_between_two_pages_hides_no_other_record(store: Store) -> None:
    for number in range(6):
        await warm_version(store, str(number), photo(f"{number}.jpg"))
    page = await store.records(RecordFilter(), limit=3)
    assert page.next is not None
    await store.forget("bot", Kind.PHOTO, r2_key="2.jpg")
    await store.forget("bot", Kind.PHOTO, r2_key="3.jpg")
    await warm_version(store, "9", photo("2a.jpg"))
    after = await store.records(RecordFilter(), limit=9, after=page.next)
    assert [one.r2_key for one in after.records] == ["2a.jpg", "4.jpg", "5.jpg"]


async def test_a_bots_own_table_is_taken_and_answered(store: Store, accounts: dict[str, str]) -> None:
    assert await store.import_records([made_elsewhere(f"{number}.jpg") for number in range(3)]) == [None] * 3
    found = await record(store, "1.jpg")
    assert (found.account, found.result["source"], found.checked_at) == ("1", "import", None)
    accounts["bot"] = "2"
    assert await answer(store, "1.jpg") is None


async def test_an_import_replaces_no_reference_of_our_own_unless_it_is_told_to(store: Store, clock: Clock) -> None:
    await warm_version(store, "1")
    clock.at += 1
    refused, taken = await store.import_records([made_elsewhere("a.jpg"), made_elsewhere("b.jpg")])
    assert refused is not None
    assert "replace" in refused
    assert taken is None
    assert await answer(store) == "f1"
    assert await store.import_records([made_elsewhere("a.jpg")], replace=True) == [None]
    assert await answer(store) == "theirs"
    assert await answer(store, sha256=ONE) == "f1"
    assert await counted(store) == await recounted(store)


@pytest.mark.parametrize("fields", [{}, {"sha256": ONE}, {"source_etag": "e1"}])
async def test_an_import_takes_the_place_of_an_import_and_the_last_line_of_a_key_counts(
    store: Store, fields: dict[str, str]
) -> None:
    assert await store.import_records([made_elsewhere("a.jpg", "one", sha256=ONE)]) == [None]
    lines = [made_elsewhere("a.jpg", "two", **fields), made_elsewhere("a.jpg", "three", **fields)]
    assert await store.import_records(lines) == [None, None]
    assert await answer(store) == "three"
    assert await counted(store) == {("bot", SourceState.CURRENT): 1}


async def test_an_upload_after_an_import_answers(store: Store, clock: Clock) -> None:
    await store.import_records([made_elsewhere("a.jpg")])
    await warm_version(store, "1", photo(refresh=Refresh.ALWAYS))
    assert await answer(store) == "f1"


async def test_what_was_exported_is_the_same_after_an_import(store: Store, clock: Clock) -> None:
    await warm_version(store, "1", photo("a.jpg", options={"caption": "x"}))
    await warm_version(store, "2", photo("b.jpg"))
    before = await every_record(store)
    for key in ("a.jpg", "b.jpg"):
        await store.forget("bot", Kind.PHOTO, r2_key=key)
    assert await store.import_records(before) == [None, None]
    assert await every_record(store) == before


async def test_a_million_lines_come_in_batches_and_each_of_ten_thousand_is_stored(store: Store) -> None:
    lines = [made_elsewhere(f"{number}.jpg", str(number)) for number in range(10_000)]
    assert await store.import_records(lines) == [None] * 10_000
    assert await counted(store) == {("bot", SourceState.CURRENT): 10_000}
    assert await answer(store, "9999.jpg") == "9999"
