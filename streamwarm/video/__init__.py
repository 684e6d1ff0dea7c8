"""Reads from an MP4 or MOV file's first bytes, and at most three more windows of it, how the video looks. Pure.

Theory. Telegram keeps what it is given about a video for as long as the `file_id` lives, and above 10 MB it measures
nothing by itself. Size, length and sound of an MP4 stand in one box, `moov`. An encoder writes it last, after gigabytes
of `mdat`; a file made for the web has it first. So the reader goes from box to box by their sizes (`movie`), looks
into the tracks (`tracks`), turns and stretches the picture as ffmpeg and Telegram Desktop do (`display`), and, if the
file is fragmented, finds its end (`fragments`). It never reads in between: tables of samples are skipped.

`reader.VideoReader` is sans-I/O: it returns which bytes it wants, and is fed. Whatever the file holds, it wants at most
`MOST_READS` windows of `READ_BYTES`, reads at most `MOST_STEPS` boxes and fields, and ends with a `Video` or an
`Unreadable`. After each window it starts from the front again, which costs little and keeps no half-read state.

No permissive library does this from partial bytes. Looked at in November 2026, each with the files of tests/video:

- tinytag 2.3.2 (MIT): length, but neither width nor height; reads a box in full at its claimed size.
- pymp4 1.4.0 and pymp4x 2.1.0 (Apache-2.0, on construct): parse a whole stream; pymp4 needs construct 2.8.8.
- mp4analyzer 1.1.6 (MIT): opens a path, recurses as deep as boxes nest, runs ffprobe for what is needed here.
- pith-mp4 0.1.1 (MIT): wants the whole file in memory, refuses fragmented ones; a binary.
- pymediainfo 7.0.1 (MIT, libmediainfo BSD-2) and av 19.0.2 (BSD-3, FFmpeg): native parsers of hostile input that
  seek in a file object, with no bound on what they read.
- enzyme 0.5.2 (MIT): Matroska alone.
- mutagen 1.48.1, hachoir 3.4.0 (GPL-2), cs-iso14496 (GPL-3), mp4analyser 0.0.1 (LGPL-3): not permissive.
"""

from streamwarm.video.reader import VideoReader, Wanted, probe_video
from streamwarm.video.result import Unreadable, Video
from streamwarm.video.window import MOST_READS, MOST_STEPS, READ_BYTES

__all__ = ["MOST_READS", "MOST_STEPS", "READ_BYTES", "Unreadable", "Video", "VideoReader", "Wanted", "probe_video"]
