"""The files of all shapes, made once per run, and what ffmpeg says about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.video.ffmpeg import Said, ask, make_all
from tests.video.shapes import SHAPES


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path]]:
    """Paths by shape. They are deleted at the end: copied elsewhere, the holes would take their room."""
    paths = make_all(SHAPES, tmp_path_factory.mktemp("videos"))
    yield paths
    for path in paths.values():
        path.unlink()


@pytest.fixture(scope="session")
def said(videos: Mapping[str, Path]) -> Mapping[str, Said]:
    """What ffmpeg says, by shape."""
    return dict(zip(videos, ask(list(videos.values())), strict=True))
