"""Videos in every shape that people upload, as arguments of ffmpeg.

All come from two seconds of a test picture of 64 × 48 pixels with a tone, unless a shape says otherwise, so that sixty
take seconds. Large ones are sparse: a hole in `mdat`.
"""

from __future__ import annotations

from attrs import frozen

PICTURE = "testsrc=size=64x48:rate=10:duration={seconds},format=yuv420p"
TONE = "sine=sample_rate=16000:duration={seconds}"
H264 = "-c:v libx264 -preset ultrafast -bf 0 -g 5"
BOTH = "-map 0:v -map 1:a -c:a aac"


@frozen
class Shape:
    """How to make one file, and how long it then is."""

    name: str
    arguments: str
    """Of ffmpeg, between the inputs and the file."""

    seconds: float = 2
    source_s: float | None = None
    """How long picture and tone are, if not as long as the file."""

    ending: str = "mp4"
    source: str = PICTURE
    sound: str = TONE
    again: str | None = None
    """Arguments of a second run over the first one's file, before and after it, divided by `|`. They copy."""

    hole_bytes: int = 0
    """How far `mdat` is blown up."""

    slack_s: float = 0.03
    """How far the file's length may be from `seconds`: fragments and loops count the silence that pads their sound."""

    said_slack_s: float = 0.02
    """How far ours may be from ffmpeg's, which has two digits. More if the last fragment is of one track alone."""


def _turned(name: str, display: str) -> Shape:
    return Shape(name, f"{BOTH} {H264}", again=f"{display}|")


def _long(name: str, arguments: str, copying: str = "") -> Shape:
    """Three hours, of one minute 180 times over: a picture every ten seconds, and 84,000 frames of sound."""
    again = f"-stream_loop 179|{copying}"
    return Shape(name, arguments, seconds=180 * 60, source_s=60, source=SLOW, sound=HUSH, again=again, slack_s=23)


def _twenty_minutes(name: str, arguments: str, copying: str = "") -> Shape:
    """Twenty minutes of one minute 20 times over: tables of 30,000 pictures, which are longer than a window."""
    again = f"-stream_loop 19|{copying}"
    return Shape(name, arguments, seconds=20 * 60, source_s=60, source=GREY, sound=HUSH, again=again, slack_s=3)


SLOW = "testsrc=size=64x48:rate=1/10:duration={seconds},format=yuv420p"
GREY = "color=gray:size=64x48:rate=25:duration={seconds},format=yuv420p"
HUSH = "anullsrc=sample_rate=8000:channel_layout=mono,atrim=duration={seconds}"
COVER = "-vf trim=end_frame=1 -pix_fmt yuvj420p -disposition:v attached_pic"
FRAGMENTS = "-movflags +frag_keyframe+empty_moov+default_base_moof"

SHAPES = (
    Shape("h264", f"{BOTH} {H264}"),
    Shape("h264, index first", f"{BOTH} {H264} -movflags +faststart"),
    Shape("h264 with B-frames", f"{BOTH} -c:v libx264 -preset medium -bf 3 -g 10"),
    Shape("hevc", f"{BOTH} -c:v libx265 -preset ultrafast -x265-params log-level=none:pools=none -tag:v hvc1"),
    Shape("mpeg4", f"{BOTH} -c:v mpeg4"),
    Shape("av1", f"{BOTH} -c:v libaom-av1 -cpu-used 8 -usage realtime"),
    Shape("vp9", f"{BOTH} -c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
    Shape("mjpeg in MOV", f"{BOTH} -c:v mjpeg -pix_fmt yuvj420p", ending="mov"),
    Shape("prores in MOV", f"{BOTH} -c:v prores_ks -pix_fmt yuv422p10le -c:a pcm_s16le", ending="mov"),
    Shape("h264 in MOV, index first", f"{BOTH} {H264} -movflags +faststart", ending="mov"),
    Shape("MOV with a timecode track", f"{BOTH} {H264} -timecode 00:00:00:00", ending="mov"),
    Shape("M4V", f"{BOTH} {H264}", ending="m4v"),
    Shape("3GP", "-map 0:v -map 1:a -c:v h263 -s 128x96 -r 15 -c:a libopencore_amrnb -ar 8000 -ac 1", ending="3gp"),
    Shape("3G2", f"{BOTH} -c:v mpeg4", ending="3g2"),
    _turned("portrait, turned by 90", "-display_rotation -90"),
    _turned("turned by 180", "-display_rotation 180"),
    _turned("turned by 270", "-display_rotation 90"),
    _turned("mirrored", "-display_hflip"),
    _turned("mirrored and turned by 90", "-display_rotation 90 -display_hflip"),
    _turned("turned by 30", "-display_rotation 30"),
    Shape("pixels 2:1", f"{BOTH} {H264} -vf setsar=2/1"),
    Shape("pixels 16:15", f"{BOTH} {H264} -vf setsar=16/15"),
    Shape("pixels 8:9, index first", f"{BOTH} {H264} -vf setsar=8/9 -movflags +faststart"),
    Shape("pixels 40:33, turned by 90", f"{BOTH} {H264} -vf setsar=40/33", again="-display_rotation -90|"),
    Shape("higher than wide", f"{BOTH} {H264} -vf scale=62:102,setsar=1"),
    Shape("pixels 68:31, of a scaled picture", f"{BOTH} {H264} -vf scale=62:102"),
    Shape("sound first", f"-map 1:a -map 0:v -c:a aac {H264}"),
    Shape("sound first, index first", f"-map 1:a -map 0:v -c:a aac {H264} -movflags +faststart"),
    Shape("silent", f"-map 0:v {H264}"),
    Shape("silent, index first", f"-map 0:v {H264} -movflags +faststart"),
    Shape("sound only", "-map 1:a -c:a aac"),
    Shape("sound only in M4A", "-map 1:a -c:a aac", ending="m4a"),
    Shape("sound with a cover", f"-map 1:a -map 0:v -c:a aac -c:v mjpeg {COVER}", ending="m4a"),
    Shape("two sounds", f"{BOTH} -map 1:a {H264}"),
    Shape("sound longer than picture", f"{BOTH} {H264}", sound="sine=duration=5", seconds=5),
    Shape("half a second", f"{BOTH} {H264}", seconds=0.5, slack_s=0.07),
    Shape("one second", f"{BOTH} {H264}", seconds=1),
    Shape("edit list", f"{BOTH} {H264}", again="-ss 0.7|", source_s=2, seconds=1.3),
    Shape("fragmented", f"{BOTH} {H264} {FRAGMENTS}", slack_s=0.3),
    Shape("fragmented, silent", f"-map 0:v {H264} {FRAGMENTS}"),
    Shape("fragmented, first fragment in the index", f"{BOTH} {H264} -movflags +frag_keyframe", slack_s=0.3),
    Shape("fragmented, no index at the end", f"{BOTH} {H264} {FRAGMENTS}+skip_trailer", slack_s=0.3),
    Shape("fragmented for DASH", f"{BOTH} {H264} {FRAGMENTS}+dash+global_sidx", slack_s=0.3),
    Shape("fragmented as CMAF", f"{BOTH} {H264} -movflags +cmaf+frag_keyframe", slack_s=0.3),
    Shape("fragmented with B-frames", f"{BOTH} -c:v libx264 -bf 3 -g 10 {FRAGMENTS}", slack_s=0.5),
    Shape(
        "fragments of 150 KB", f"-map 0:v -c:v mjpeg -q:v 2 -s 320x240 {FRAGMENTS} -frag_duration 1000000", slack_s=0.3
    ),
    Shape("hybrid", f"{BOTH} {H264} -movflags +hybrid_fragmented", slack_s=0.3),
    Shape("Smooth Streaming", f"{BOTH} {H264} -f ismv", ending="ismv", said_slack_s=0.1),
    _long("three hours", f"{BOTH} {H264}"),
    _long("three hours, index first", f"{BOTH} {H264}", "-movflags +faststart"),
    _long("three hours, sound first", f"-map 1:a -map 0:v -c:a aac {H264}"),
    _long("three hours, silent", f"-map 0:v {H264}"),
    _twenty_minutes("20 minutes at 25 a second", f"{BOTH} {H264}"),
    _twenty_minutes("20 minutes at 25 a second, index first", f"{BOTH} {H264}", "-movflags +faststart"),
    _twenty_minutes("20 minutes at 25 a second, silent", f"-map 0:v {H264}"),
    Shape("12 MB", f"{BOTH} {H264}", hole_bytes=12_000_000),
    Shape("12 MB, index first", f"{BOTH} {H264} -movflags +faststart", hole_bytes=12_000_000),
    Shape("2 GB", f"{BOTH} {H264}", hole_bytes=2_000_000_000),
    Shape("5 GB, 64-bit sizes", f"{BOTH} {H264}", hole_bytes=5_000_000_000),
)
