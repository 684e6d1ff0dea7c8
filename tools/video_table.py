"""Prints the table of docs/videos.md: what the reader of videos finds in a file of each shape, and what that costs.

uv run --group dev python tools/video_table.py [--write]

`--write` puts it into the page. The files are made by ffmpeg in a temporary folder, in about a minute.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from streamwarm.video import Unreadable  # noqa: E402
from tests.video.ffmpeg import Videos  # noqa: E402
from tests.video.files import read_path  # noqa: E402
from tests.video.shapes import SHAPES  # noqa: E402

PAGE = ROOT / "docs" / "videos.md"
HEAD = "| file | bytes | shown as | seconds (ffmpeg's) | sound | streamable | reads | bytes read |"


def row(videos: Videos, name: str) -> str:
    """One file's line."""
    found, reader = read_path(videos[name])
    if isinstance(found, Unreadable):
        sys.exit(f"{name}: {found.why}")
    said = videos.said(name)
    if (found.width, found.height, found.has_audio) != (said.width, said.height, said.has_audio):
        sys.exit(f"{name}: {found} is not what ffmpeg says: {said}")
    cells = [
        name,
        f"{videos[name].stat().st_size:,}",
        f"{found.width} × {found.height}" if found.has_video else "–",
        f"{found.duration_s:,.2f} ({said.seconds:,.2f})",
        "yes" if found.has_audio else "no",
        "yes" if found.streamable else "no",
        f"{reader.reads}",
        f"{reader.bytes_read:,}",
    ]
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """All lines."""
    with tempfile.TemporaryDirectory() as folder:
        videos = Videos(Path(folder))
        rows = [row(videos, shape.name) for shape in SHAPES]
    return "\n".join([HEAD, "|---|--:|---|--:|---|---|--:|--:|", *rows])


def write(text: str) -> None:
    """Replace the page's table: the lines from its head to the next line that is none of a table."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEAD)
    end = next(
        number for number in range(start, len(lines) + 1) if number == len(lines) or not lines[number].startswith("|")
    )
    PAGE.write_text("\n".join([*lines[:start], text, *lines[end:], ""]), encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write(table())
    else:
        print(table())
