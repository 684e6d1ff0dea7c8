"""From the file's front to `moov`, through its tracks, to what is known about the video. Pure."""

from __future__ import annotations

from attrs import evolve, field, frozen

from streamwarm.video.boxes import Box, Hopeless, inner_boxes, top_boxes
from streamwarm.video.display import IDENTITY
from streamwarm.video.fragments import length_of_fragments
from streamwarm.video.result import Unreadable, Video
from streamwarm.video.times import longest
from streamwarm.video.tracks import SOUND, VIDEO, MovieHeader, Track, read_movie_header, read_track
from streamwarm.video.window import Ended, Windows

FIRST_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"styp", b"sidx", b"moof", b"meta"}
    | {b"junk", b"udta", b"PICT", b"pict", b"prfl", b"pdin", b"bloc"}
)
"""What an MP4 or MOV file begins with: `ftyp`, or in an old MOV any of the others."""

PICTURES = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"miaf", b"avci", b"avcs"}
    | {b"avif", b"avis", b"jpeg", b"jpgs", b"jxl ", b"crx "}
)
"""Major brands of pictures in the same boxes (HEIF, AVIF, JPEG XL, Canon's raw). Some have tracks, but no player."""

LEAST_TRACK = 250
"""Bytes of the smallest `trak`, rounded down: `tkhd` 92, `mdhd` 32, `hdlr` 32, `minf` with `stbl` and five tables."""


@frozen
class _Place:
    """Where `moov` is."""

    moov: Box
    is_after_media: bool
    brand: str


@frozen
class _Movie:
    """What `moov` says. The defaults stand for boxes that it lacks."""

    header: MovieHeader = field(factory=lambda: MovieHeader(0, None, IDENTITY))
    tracks: tuple[Track, ...] = ()
    extends: Box | None = None
    """`mvex`, which only a fragmented file has."""

    is_whole: bool = False
    """Whether all of `moov` was looked through, so that a track that was not found does not exist."""

    @property
    def picture(self) -> Track | None:
        """The track that players show: with a size, enabled, and not the pictures of chapters."""
        chapters = frozenset[int]().union(*(track.chapters for track in self.tracks))
        tracks = [track for track in self.tracks if track.handler == VIDEO and track.number not in chapters]
        return min(tracks, key=lambda track: (track.size is None, not track.is_enabled), default=None)

    @property
    def has_sound(self) -> bool:
        return any(track.handler == SOUND for track in self.tracks)

    @property
    def is_enough(self) -> bool:
        """Whether it is known so well that the rest of `moov` is not worth a window.

        What is not at hand then comes behind 64 KB of sample tables. A fragmented file has no such tables, so the
        length does not depend on a `mvex` there.
        """
        picture = self.picture
        return picture is not None and picture.size is not None and self.has_sound and self._has_length

    @property
    def _has_length(self) -> bool:
        return self.header.duration_s is not None

    def may_have_more_in(self, rest_bytes: int) -> bool:
        """Whether a track, or where it matters a `mvex`, fits into what is left of `moov`."""
        return rest_bytes >= LEAST_TRACK or not self._has_length


def examine(source: Windows) -> Video | Unreadable:
    """Return what the bytes at hand show. Raises Lacking if that takes more of them, TooManySteps if too many boxes."""
    try:
        place = _find_movie(source)
        movie = _read_movie(source, place.moov)
    except Hopeless as hopeless:
        return Unreadable(hopeless.why, hopeless.is_mp4)
    except Ended:
        return Unreadable(_out_of_reach(source), is_mp4=True)
    if movie.picture is None and not movie.has_sound and movie.is_whole:
        return Unreadable("has neither a picture nor sound in its movie header (moov)", is_mp4=True)
    if movie.picture is None and not movie.is_whole:
        return Unreadable(_out_of_reach(source), is_mp4=True)
    width, height = (movie.picture and movie.picture.size) or (None, None)
    return Video(
        width=width,
        height=height,
        duration_s=_length(source, place.moov, movie),
        streamable=not place.is_after_media or movie.extends is not None,
        has_video=movie.picture is not None,
        has_audio=movie.has_sound if movie.has_sound or movie.is_whole else None,
        brand=place.brand,
    )


def _out_of_reach(source: Windows) -> str:
    if source.is_complete:
        return "has its movie header (moov) in more pieces than are read"
    return "ends before its movie header (moov) does"


def _find_movie(source: Windows) -> _Place:
    """Raises Hopeless if it is no video, Ended if `moov` does not come."""
    if source.size_bytes < 8 or source.at(0, 8)[4:] not in FIRST_BOXES:
        raise Hopeless("is not an MP4 or MOV file", is_mp4=False)
    brand, is_after_media = b"", False
    for box in top_boxes(source):
        if box.type == b"moov":
            return _Place(box, is_after_media, brand.decode("latin-1").strip() if brand.strip().isalnum() else "")
        if box.type == b"ftyp" and box.end >= box.body + 4:
            brand = source.at(box.body, 4)
            if brand in PICTURES:
                raise Hopeless("is a picture, not a video", is_mp4=False)
        is_after_media = is_after_media or (box.type in (b"mdat", b"moof") and box.end > box.body)
    raise Ended


def _read_movie(source: Windows, moov: Box) -> _Movie:
    """Read as much of `moov` as there is, and as is worth a window. Raises Hopeless if it is compressed."""
    movie, is_whole = _Movie(), not moov.is_cut
    try:
        for box in inner_boxes(source, moov.body, moov.end):
            if box.type == b"cmov":
                raise Hopeless("has a compressed movie header (cmov)")
            try:
                movie = _with(source, movie, box)
            except Ended:  # damaged or out of reach, which the next one need not be
                is_whole = False
            if not source.has(box.end, 8):
                if movie.is_enough:
                    return movie
                if not movie.may_have_more_in(moov.end - box.end):
                    break
    except Ended:
        return movie
    return evolve(movie, is_whole=is_whole)


def _with(source: Windows, movie: _Movie, box: Box) -> _Movie:
    """The movie and what one box of `moov` adds to it."""
    if box.type == b"mvhd":
        return evolve(movie, header=read_movie_header(source, box))
    if box.type == b"trak":
        return evolve(movie, tracks=(*movie.tracks, read_track(source, box, movie.header)))
    return evolve(movie, extends=box) if box.type == b"mvex" else movie


def _length(source: Windows, moov: Box, movie: _Movie) -> float | None:
    """`mvhd` has the length, edits applied, and ffmpeg trusts it. Else the tracks have it, or the fragments."""
    tracks = [track for track in movie.tracks if track.handler in (VIDEO, SOUND)]
    own = movie.header.duration_s or longest(*(track.duration_s for track in tracks))
    if movie.extends is None:
        return own
    return longest(own, length_of_fragments(source, moov.end, movie.extends, movie.header.timescale, tracks))
