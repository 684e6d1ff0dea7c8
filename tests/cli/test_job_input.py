"""What `push` makes of its input: the right jobs, or an error that names the line."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest

from streamwarm.cli.job_input import (
    Defaults,
    choose_destination,
    jobs_from_arguments,
    jobs_from_lines,
    jobs_from_listing,
)
from streamwarm.cli.kinds import guess_kind
from streamwarm.errors import SettingsError
from streamwarm.fetch.source import ListedObject
from streamwarm.model import Kind

NO_INPUT = io.StringIO()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("a/photo.JPG", Kind.PHOTO),
        ("photo.jpeg", Kind.PHOTO),
        ("loop.gif", Kind.ANIMATION),
        ("film.mp4", Kind.VIDEO),
        ("film.mkv", Kind.VIDEO),
        ("song.mp3", Kind.AUDIO),
        ("song.ogg", Kind.AUDIO),
        ("note.opus", Kind.VOICE),
        ("paper.pdf", Kind.DOCUMENT),
        ("archive.tar.gz", Kind.DOCUMENT),
        ("picture.svg", Kind.DOCUMENT),
        ("no-extension", Kind.DOCUMENT),
        ("folder.mp4/no-extension", Kind.DOCUMENT),
        ("", Kind.DOCUMENT),
        (".", Kind.DOCUMENT),
        ("ends-with/", Kind.DOCUMENT),
    ],
)
def test_a_kind_is_guessed_from_the_name(key: str, kind: Kind) -> None:
    assert guess_kind(key) is kind


def test_the_content_type_decides_where_the_name_says_nothing() -> None:
    assert guess_kind("media/1234", "video/webm") is Kind.VIDEO
    assert guess_kind("media/1234", "image/png") is Kind.PHOTO
    assert guess_kind("media/1234", "application/pdf") is Kind.DOCUMENT
    assert guess_kind("media/1234.jpg", "application/octet-stream") is Kind.PHOTO


def test_keys_are_taken_as_they_are() -> None:
    keys = ["a b.jpg", "-", "../x", "one.jsonl"]
    assert [job["r2_key"] for job in jobs_from_arguments(keys, NO_INPUT)] == keys


def test_jobs_are_read_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    lines = '{"r2_key": "a.jpg", "kind": "document"}\n\n"b.jpg"\n'
    jobs = [{"r2_key": "a.jpg", "kind": "document"}, {"r2_key": "b.jpg"}]
    (tmp_path / "jobs.jsonl").write_text(lines, encoding="utf-8")
    assert list(jobs_from_arguments([str(tmp_path / "jobs.jsonl")], NO_INPUT)) == jobs
    assert list(jobs_from_arguments(("-",), io.StringIO(lines))) == jobs


@pytest.mark.parametrize("bad", ["{", "a.jpg", "[1]", "7", "null", "[" * 100_000], ids=lambda text: text[:6])
def test_a_bad_line_is_named_by_its_number(bad: str) -> None:
    with pytest.raises(click.UsageError, match=r"jobs\.jsonl, line 3"):
        list(jobs_from_lines(['"a"\n', "\n", bad + "\n"], "jobs.jsonl"))


def test_a_file_that_is_not_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(b'"a.jpg"\n\xff\xfe\n')
    with pytest.raises(click.UsageError, match="not UTF-8"):
        list(jobs_from_arguments([str(path)], NO_INPUT))


def test_a_job_says_more_than_the_flags_and_the_flags_more_than_a_guess() -> None:
    flags = Defaults("mybot", "document")
    assert flags.apply({"r2_key": "a.jpg"}) == {"r2_key": "a.jpg", "destination": "mybot", "kind": "document"}
    own = {"r2_key": "a.jpg", "destination": "other", "kind": "video"}
    assert flags.apply(own) == own
    assert Defaults(None, None).apply({"r2_key": "a.jpg"}) == {"r2_key": "a.jpg", "kind": "photo"}
    assert Defaults(None, None).apply({"r2_key": 7}) == {"r2_key": 7}  # the service says what is wrong with it


async def test_a_listing_gives_objects_and_leaves_folders_out() -> None:
    async def listing() -> AsyncIterator[ListedObject]:
        for listed in (ListedObject("a/", 0, "e"), ListedObject("a/x.jpg", 7, "e"), ListedObject("odd/", 5, "e")):
            yield listed

    jobs = [job async for job in jobs_from_listing(listing())]
    assert jobs == [
        {"r2_key": "a/x.jpg", "bytes": 7, "source_etag": "e"},
        {"r2_key": "odd/", "bytes": 5, "source_etag": "e"},
    ]


def test_the_only_destination_needs_no_name_and_a_wrong_one_is_answered_with_those_there_are() -> None:
    assert choose_destination(None, ["mybot"]) == "mybot"
    assert choose_destination(None, ["a", "b"]) is None
    assert choose_destination("b", ["a", "b"]) == "b"
    with pytest.raises(SettingsError, match="a, b"):
        choose_destination("c", ["b", "a"])
