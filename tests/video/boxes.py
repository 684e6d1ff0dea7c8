"""Writes boxes, field by field, for files that no encoder makes."""

from __future__ import annotations

import struct

ONE = 1 << 16
IDENTITY = (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)
ALL_ONES = 0xFFFFFFFF


def box(name: str, *parts: bytes, size: int | None = None, wide: bool = False) -> bytes:
    """A box; `size` replaces the true one, `wide` writes it in 64 bits."""
    body = b"".join(parts)
    length = len(body) + (16 if wide else 8) if size is None else size
    if wide:
        return struct.pack(">I4sQ", 1, name.encode("latin-1"), length) + body
    return struct.pack(">I4s", length, name.encode("latin-1")) + body


def full(name: str, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that begins with a version and flags."""
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


def numbers(form: str, *values: int) -> bytes:
    return struct.pack(f">{form}", *values)


def ftyp(brand: str = "isom") -> bytes:
    return box("ftyp", brand.encode(), numbers("I", 512), b"isomiso2mp41")


def mvhd(duration: int = 2000, timescale: int = 1000, version: int = 0) -> bytes:
    times = "QQIQ" if version else "IIII"
    return full(
        *("mvhd", version, 0, numbers(times, 0, 0, timescale, duration)),
        *(numbers("IHHII", ONE, 0x100, 0, 0, 0), numbers("9i", *IDENTITY), bytes(24), numbers("I", 9)),
    )


def tkhd(
    number: int, duration: int = 2000, size: tuple[int, int] = (64, 48), version: int = 0, flags: int = 3
) -> bytes:
    times = "QQIIQ" if version else "IIIII"
    return full(
        *("tkhd", version, flags, numbers(times, 0, 0, number, 0, duration), bytes(8)),
        *(numbers("HHHH", 0, 0, 0, 0), numbers("9i", *IDENTITY), numbers("II", size[0] * ONE, size[1] * ONE)),
    )


def mdhd(duration: int = 2000, timescale: int = 1000, version: int = 0) -> bytes:
    return full("mdhd", version, 0, numbers("QQIQ" if version else "IIII", 0, 0, timescale, duration), bytes(4))


def hdlr(handler: str) -> bytes:
    return full("hdlr", 0, 0, bytes(4), handler.encode(), bytes(13))


def stsd(size: tuple[int, int] = (64, 48), *more: bytes, name: str = "avc1") -> bytes:
    entry = box(name, bytes(6), numbers("H", 1), bytes(16), numbers("HH", *size), bytes(50), *more)
    return full("stsd", 0, 0, numbers("I", 1), entry)


def elst(*entries: tuple[int, int], version: int = 0) -> bytes:
    form = "QqI" if version else "IiI"
    return full("elst", version, 0, numbers("I", len(entries)), *(numbers(form, *entry, ONE) for entry in entries))


def trak(
    number: int = 1,
    handler: str = "vide",
    *,
    header: bytes | None = None,
    media: bytes | None = None,
    between: bytes = b"",
    description: bytes | None = None,
    tables: bytes = b"",
) -> bytes:
    """A track. `tables` come behind the sample description, where the long ones are."""
    samples = box("stbl", stsd() if description is None else description, tables)
    return box(
        "trak",
        tkhd(number) if header is None else header,
        between,
        box("mdia", mdhd() if media is None else media, hdlr(handler), box("minf", samples)),
    )


def moov(*parts: bytes, header: bytes | None = None) -> bytes:
    return box("moov", mvhd() if header is None else header, *parts)


def mvex(*numbers_of_tracks: int, stated: bytes = b"", sample: int = 0) -> bytes:
    return box("mvex", stated, *(full("trex", 0, 0, numbers("IIIII", n, 1, sample, 0, 0)) for n in numbers_of_tracks))


def moof(*trafs: bytes) -> bytes:
    return box("moof", full("mfhd", 0, 0, numbers("I", 1)), *trafs)


def traf(number: int, begin: int, *lengths: int, version: int = 1) -> bytes:
    """A track's samples of one fragment, each with its length."""
    return box(
        "traf",
        full("tfhd", 0, 0x020000, numbers("I", number)),
        full("tfdt", version, 0, numbers("Q" if version else "I", begin)),
        full("trun", 0, 0x000100, numbers("I", len(lengths)), numbers(f"{len(lengths)}I", *lengths)),
    )


def sidx(*references: tuple[int, int], timescale: int = 1000, first_offset: int = 0, version: int = 0) -> bytes:
    """An index of (bytes, length)."""
    return full(
        *("sidx", version, 0, numbers("II", 1, timescale), numbers("QQ" if version else "II", 0, first_offset)),
        *(numbers("HH", 0, len(references)), *(numbers("III", *one, 0) for one in references)),
    )
