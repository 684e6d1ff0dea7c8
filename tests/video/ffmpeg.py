"""Makes the videos of `shapes`, and asks ffmpeg about them."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
from attrs import frozen

from tests.video.shapes import SHAPES, Shape


@frozen
class Said:
    """What `ffmpeg -i` prints about a file, as a player shows it."""

    width: int | None
    height: int | None
    seconds: float | None
    has_video: bool
    has_audio: bool


def run(*arguments: str) -> str:
    """Run ffmpeg and return what it prints on standard error."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Without an output file ffmpeg prints what it knows of the inputs and exits 1.
    if done.returncode != 0 and "At least one output file must be specified" not in done.stderr:
        raise RuntimeError(f"{shlex.join(command)} exited with {done.returncode}: {done.stderr[-2000:]}")
    return done.stderr


def make(shape: Shape, path: Path) -> None:
    """Make one file of this shape."""
    seconds = shape.seconds if shape.source_s is None else shape.source_s
    sources = (shape.source.format(seconds=seconds), shape.sound.format(seconds=seconds))
    inputs = [argument for source in sources for argument in ("-f", "lavfi", "-i", source)]
    run("-loglevel", "error", *inputs, *shape.arguments.split(), str(path))
    if shape.again is not None:
        before, after = shape.again.split("|")
        copied = path.with_name(f"again-{path.name}")
        run(
            "-loglevel",
            "error",
            *before.split(),
            "-i",
            str(path),
            "-map",
            "0",
            "-c",
            "copy",
            *after.split(),
            str(copied),
        )
        copied.replace(path)
    if shape.hole_bytes:
        blow_up(path, shape.hole_bytes)


def blow_up(path: Path, hole_bytes: int) -> None:
    """Put a hole at the end of `mdat`. Offsets of samples stay right, because the samples come before it."""
    content = path.read_bytes()
    start = content.index(b"free\x00") - 4 if b"\x00\x00\x00\x08free" in content else -1
    place = content.index(b"mdat") - 4
    size = int.from_bytes(content[place : place + 4], "big")
    with path.open("r+b") as file:
        if size + hole_bytes < 1 << 32:
            file.seek(place)
            file.write((size + hole_bytes).to_bytes(4, "big"))
        else:  # ffmpeg leaves an empty `free` before `mdat`, in which the larger header fits
            assert start == place - 8
            file.seek(start)
            file.write(b"\x00\x00\x00\x01mdat" + (size + 8 + hole_bytes).to_bytes(8, "big"))
        file.seek(place + size + hole_bytes)
        file.write(content[place + size :])
        file.truncate(len(content) + hole_bytes)


def ask(paths: Sequence[Path]) -> list[Said]:
    """What ffmpeg says about each of these files."""
    printed = run(*(argument for path in paths for argument in ("-i", str(path))))
    parts = re.split(r"^Input #\d+", printed, flags=re.MULTILINE)[1:]
    assert len(parts) == len(paths), printed
    return [_said(part) for part in parts]


def _said(part: str) -> Said:
    streams = re.split(r"^  Stream #", part.partition("\nAt least one output")[0], flags=re.MULTILINE)
    pictures = [stream for stream in streams if ": Video:" in stream and "(attached pic)" not in stream]
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", streams[0])
    size = _size(pictures[0]) if pictures else None
    return Said(
        width=size[0] if size else None,
        height=size[1] if size else None,
        seconds=int(length[1]) * 3600 + int(length[2]) * 60 + float(length[3]) if length else None,
        has_video=bool(pictures),
        has_audio=any(": Audio:" in stream for stream in streams),
    )


def _size(stream: str) -> tuple[int, int] | None:
    """Width and height on the screen: stretched by the pixel aspect, then turned."""
    size = re.search(r", (\d+)x(\d+)", stream)
    if size is None:
        return None
    width, height = int(size[1]), int(size[2])
    # The last one is the container's, which counts for players; the codec's comes before it if the two differ.
    for across, down in re.findall(r"SAR (\d+):(\d+)", stream)[-1:]:
        width = math.floor(width * int(across) / int(down)) if int(across) and int(down) else width
    turned = re.search(r"rotation of (-?[\d.]+) degrees", stream)
    if turned is not None and round(float(turned[1])) % 180 == 90:
        return height, width
    return width, height


class Videos:
    """A file of each shape in a folder, and what ffmpeg says about it, by the shape's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[str, Path] = {}
        self._said: dict[str, Said] = {}

    def __getitem__(self, name: str) -> Path:
        if name not in self._paths:
            (shape,) = (one for one in SHAPES if one.name == name)
            path = self._folder / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.{shape.ending}"
            make(shape, path)
            self._paths[name] = path
        return self._paths[name]

    def said(self, name: str) -> Said:
        """What ffmpeg says about it."""
        if name not in self._said:
            (self._said[name],) = ask([self[name]])
        return self._said[name]

    def delete(self) -> None:
        """Delete the files that were made."""
        for path in self._paths.values():
            path.unlink()
