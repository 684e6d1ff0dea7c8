"""A disk whose power can be cut: a VFS of SQLite that records what is written and what is synced.

The store runs on real files and notices nothing. Afterwards `Disk.after_cut` makes the files as they may be found when
the power went at any point of the record: what was synced is there; of what was not, any part may be missing, torn at a
sector, or there. A file exists once it was synced; a deletion lasts once anything was synced after it, as on a file
system that journals its metadata in order. The shared-memory file is never found again.

The standard library's SQLite takes no VFS from outside, so the connections are apsw's, made to look like `sqlite3`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import apsw
from attrs import define, field, frozen

SECTOR = 512


@frozen
class Write:
    name: str
    data: bytes
    offset: int


@frozen
class Truncate:
    name: str
    size: int


@frozen
class Sync:
    name: str


@frozen
class Delete:
    name: str


Change = Write | Truncate | Sync | Delete


@define(eq=False)
class Disk:
    """`record` is everything that reached this disk, in order. Use as `with Disk() as disk`."""

    record: list[Change] = field(factory=list)
    _vfs: _Vfs = field(init=False)

    def __enter__(self) -> Disk:
        self._vfs = _Vfs(self.record, f"power-cut-{id(self)}")
        return self

    def __exit__(self, *_: object) -> None:
        self._vfs.unregister()

    def connect(self, path: str) -> Connection:
        """A connection over this disk, without any settings."""
        return Connection(apsw.Connection(path, vfs=self._vfs.vfs_name))

    def after_cut(self, at: int, random: Random | None, folder: Path) -> None:
        """Write the files into `folder` as they may be found if the power went after `at` changes: what was not
        synced is gone, or, with `random`, any part of it."""
        for name, changes in _by_file(self.record[:at]).items():
            found = _content_after(changes, random)
            if found is not None:
                (folder / name).write_bytes(found)


def _by_file(record: list[Change]) -> dict[str, list[Change]]:
    """Each file's changes; any sync ends a deletion's doubt, so it counts for deleted files too."""
    files: dict[str, list[Change]] = {}
    for change in record:
        files.setdefault(change.name, []).append(change)
        if isinstance(change, Sync):
            for changes in files.values():
                if isinstance(changes[-1], Delete):
                    changes.append(change)
    return files


def _content_after(changes: list[Change], random: Random | None) -> bytes | None:
    """None where the file is not there."""
    last_sync = max((n for n, change in enumerate(changes) if isinstance(change, Sync)), default=-1)
    content: bytearray | None = None
    for change in changes[: last_sync + 1]:
        content = _applied(content, change)
    for change in changes[last_sync + 1 :]:
        if random is not None and random.random() < 0.5:
            content = _applied(content, _torn(change, random))
    return None if content is None else bytes(content)


def _torn(change: Change, random: Random) -> Change:
    if isinstance(change, Write) and random.random() < 0.3:
        sectors = random.randrange(len(change.data) // SECTOR + 1)
        return Write(change.name, change.data[: sectors * SECTOR], change.offset)
    return change


def _applied(content: bytearray | None, change: Change) -> bytearray | None:
    content = bytearray() if content is None else content
    match change:
        case Write(data=data, offset=offset):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        case Truncate(size=size):
            del content[size:]
        case Delete():
            return None
    return content


class _Vfs(apsw.VFS):
    def __init__(self, record: list[Change], name: str) -> None:
        self.record = record
        self.vfs_name = name
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802
        return _File(self.record, name, flags)

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802
        super().xDelete(name, sync_folder)
        self.record.append(Delete(os.path.basename(name)))


class _File(apsw.VFSFile):
    def __init__(self, record: list[Change], name: Any, flags: list[int]) -> None:
        self._record = record
        self._name = os.path.basename(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary")
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._record.append(Write(self._name, bytes(data), offset))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._record.append(Truncate(self._name, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._record.append(Sync(self._name))


class Row(tuple[Any, ...]):
    """Columns by number and by name, as `sqlite3.Row`."""

    names: tuple[str, ...]

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self.names.index(key) if isinstance(key, str) else key)


@define(eq=False)
class Cursor:
    _rows: Iterator[Row]
    rowcount: int

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def fetchone(self) -> Row | None:
        return next(self._rows, None)

    def fetchall(self) -> list[Row]:
        return list(self._rows)


@define(eq=False)
class Connection:
    """As much of `sqlite3.Connection` as the store uses."""

    _connection: apsw.Connection

    def execute(self, query: str, parameters: Mapping[str, object] | tuple[object, ...] = ()) -> Cursor:
        before = self._connection.total_changes()
        cursor = self._connection.execute(query, parameters or None)
        try:
            names = tuple(column[0] for column in cursor.get_description())
        except apsw.ExecutionCompleteError:
            names = ()
        return Cursor(_rows(cursor, names), self._connection.total_changes() - before)

    def executemany(self, query: str, parameters: Iterable[Mapping[str, object]]) -> None:
        self._connection.executemany(query, parameters)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def close(self) -> None:
        self._connection.close()


def _rows(cursor: apsw.Cursor, names: tuple[str, ...]) -> Iterator[Row]:
    for values in cursor:
        row = Row(values)
        row.names = names
        yield row
