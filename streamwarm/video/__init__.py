"""Reads from an MP4 or MOV file's first bytes, and at most three more windows of it, how the video looks. Pure.

Theory. Telegram keeps what it is given about a video for as long as the `file_id` lives, and above 10 MB it measures
nothing by itself. Size, length and sound of an MP4 stand in one box, `moov`. An encoder writes it last, after gigabytes
of `mdat`; a file made for the web has it first. So the reader goes from box to box by their sizes (`movie`), looks
into the tracks (`tracks`), turns and stretches the picture as ffmpeg and Telegram Desktop do (`display`), and, if the
file is fragmented, finds its end (`fragments`). It never reads in between: tables of samples are skipped.

`reader.VideoReader` is sans-I/O: it returns which bytes it wants, and is fed. Whatever the file holds, it wants at most
`MOST_READS` windows of `READ_BYTES`, reads at most `MOST_STEPS` boxes and fields, and ends with a `Video` or an
`Unreadable`. After each window it starts from the front again, which costs little and keeps no half-read state.

No permissive library does this from partial bytes. Looked at in November 2026, each run on a whole file, on its first
64 KiB and on boxes nested 10,000 deep:

- tinytag 2.3.2 (MIT): the length of a cut file too, but no width or height; reads a box in full at its claimed size.
- pymp4 1.4.0, pymp4x 2.1.0 (Apache-2.0, on construct): parse every box in full; raise at the first that is cut off.
- mp4analyzer 1.1.6 (MIT): wants a path; RecursionError at nested boxes; asks ffprobe for size and length.
- pith-mp4 0.1.1 (MIT, a binary): wants the whole file in memory; refuses one that is cut off or fragmented.
- pymediainfo 7.0.1 (MIT; libmediainfo, BSD-2), av 18.1.0 (BSD-3; FFmpeg): read such a prefix well. They are native
  parsers of hostile input, seek in a file object, and bound neither what they read nor how long.
- enzyme 0.5.2 (MIT): Matroska only.
- mutagen 1.48.1, hachoir 3.4.0 (GPL-2), cs-iso14496 20260531 (GPL-3), mp4analyser 0.0.1 (LGPL-3): not permissive.
"""

from streamwarm.video.reader import VideoReader, Wanted, probe_video
from streamwarm.video.result import Unreadable, Video
from streamwarm.video.window import MOST_READS, MOST_STEPS, READ_BYTES

__all__ = ["MOST_READS", "MOST_STEPS", "READ_BYTES", "Unreadable", "Video", "VideoReader", "Wanted", "probe_video"]
