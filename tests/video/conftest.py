"""Files of the shapes and what ffmpeg says about them, each made when the first test of a run asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.video.ffmpeg import Videos


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Videos]:
    """The files are deleted at the end: copied elsewhere, their holes would take up room."""
    videos = Videos(tmp_path_factory.mktemp("videos"))
    yield videos
    videos.delete()
