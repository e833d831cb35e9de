"""Made videos of many kinds, whole and damaged, beside PyAV."""

import logging
import math
import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
import torch

from tests.odd.made_videos import HEIGHT, STEADY, WIDTH, Made, encode, milliseconds, picture, video
from tests.odd.outcomes import try_all
from video.data.sampling import Dense
from video.data.transforms import Crops
from video.inference.per_second import per_second
from video.inference.sliding_clips import score_over_time
from video.readers.frame_names import select_frames
from video.readers.frame_times import LONGEST_STILL
from video.readers.opening import UnreadableVideoError, open_video
from video.readers.video_file import METADATA

ALIKE = 2  # grey levels
FAR = 30  # mean grey levels between a frame and what was encoded; unlike pictures are 60 and more apart


def decoded(path: Path) -> list[np.ndarray]:
    """The frames of a file as PyAV decodes them one after the other, up to the end or to where it cannot go on.

    Raises:
        av.FFmpegError: it is no video, or its colours are not converted.
    """
    frames: list[av.VideoFrame] = []
    with av.open(str(path), **METADATA) as file:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = 1
        try:
            for packet in file.demux(stream):
                try:
                    frames += packet.decode()
                except (av.FFmpegError, ValueError):  # ValueError from PyAV 19, after a codec could not be opened
                    continue
        except av.FFmpegError:
            pass
        return [frame.to_ndarray(format="rgb24") for frame in frames]


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The greatest difference of two pictures, grey levels."""
    return math.inf if ours.shape != theirs.shape else int(np.abs(ours.astype(int) - theirs).max())


@pytest.fixture(autouse=True)
def quiet(caplog):
    """What the log tells is not looked at."""
    caplog.set_level(logging.CRITICAL)


def test_whole_videos_equal_those_of_pyav(tmp_path):
    """All frames, in order and at random, are PyAV's within two levels, upright, near what was encoded, and timed."""
    kinds: Counter[str] = Counter()

    def use(made):
        path = tmp_path / f"made.{made.container}"
        if not encode(made, path):
            return None
        theirs = expected(path, made)
        try:
            reader = open_video(path)
        except UnreadableVideoError as error:
            if not theirs:
                raise
            return f"refused, though PyAV has {len(theirs)} frames: {error}"
        with reader:
            if theirs is None:
                return "read, though FFmpeg does not convert its colours"
            kinds[made.codec] += 1
            return compare(reader, theirs, made)

    outcomes = try_all(video, use)
    print(f"made by {dict(kinds)}")
    assert outcomes["right"] > outcomes["clear error"]


def expected(path, made):
    """The frames of PyAV, turned; None if it does not convert them."""
    try:
        return [np.rot90(frame, made.turned // 90) for frame in decoded(path)]
    except av.FFmpegError:
        return None


def compare(reader, theirs, made):
    """What is wrong with the frames, times and scores of a whole video; None if nothing is."""
    if reader.length != len(theirs):
        return f"{reader.length} frames, of which PyAV finds {len(theirs)}"
    ours = reader.read(range(reader.length))
    places = random.Random(made.frames).choices(range(reader.length), k=8)
    for index, frame in [*enumerate(ours), *((index, reader.read([index])[0]) for index in places)]:
        if apart(frame, theirs[index]) > ALIKE:
            return f"frame {index} differs by {apart(frame, theirs[index])}"
        flat = np.rot90(frame, -made.turned // 90).astype(int)
        if flat.shape == (HEIGHT, WIDTH, 3) and np.abs(flat - picture(index)).mean() > (
            FAR if is_coloured(made) else 99
        ):
            return f"frame {index} is unlike what was encoded"
    return wrong_times(reader, made)


def is_coloured(made):
    """Whether the colours come out as they were put in, more or less; FFmpeg encodes single frames badly."""
    return "gray" not in made.pixels and made.colours is None and made.codec != "gif" and made.frames > 2


def wrong_times(reader, made):
    """What is wrong with the times and the scores by second; None if nothing is."""
    times, given = reader.times(range(reader.length)), np.array(milliseconds(made)) / 1000
    if made.times in (STEADY, "uneven", "late") and np.abs(times - (given - given[0])).max() > 2e-3 + given[-1] * 1e-3:
        return f"times {times[:4]}…, not {given[:4] - given[0]}…"
    if np.any(np.diff(times) <= 0) or times[-1] > LONGEST_STILL + reader.length or not 1e-3 < reader.rate <= 1000:
        return f"times up to {times[-1]}, {reader.rate} frames per second"
    model = lambda clips: torch.full((len(clips), 2), 0.5)  # noqa: E731
    seconds = per_second(score_over_time(model, reader, Dense(4, 1), Crops(8, 8)))
    return None if len(seconds) <= times[-1] + 1 / reader.rate + 1 else f"{len(seconds)} seconds of scores"


class Damaged(NamedTuple):
    """A made video, and what becomes of its file."""

    made: Made
    damage: str
    seed: int


def damaged(rng: random.Random) -> Damaged:
    """A made video with damage."""
    made = video(rng)._replace(colours=None, times=STEADY)
    return Damaged(
        made, rng.choice(("cut", "flip", "zero", "insert", "drop", "join", "payload", "payload")), rng.random()
    )


def spoil(content: bytes, damage: str, rng: random.Random) -> bytes:
    """A file with damage anywhere."""
    data, place, size = bytearray(content), rng.randrange(len(content)), rng.choice((1, 10, 100, 1000))
    if damage == "cut":
        del data[place:]
    elif damage == "flip":
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif damage == "zero":
        data[place : place + size] = bytes(len(data[place : place + size]))
    elif damage == "insert":
        data[place:place] = rng.randbytes(size)
    elif damage == "drop":
        del data[place : place + size]
    elif damage == "join":
        data += bytes(data)
    return bytes(data)


def spoil_payload(path: Path, rng: random.Random) -> range | None:
    """Overwrite part of a frame in a file; gives the frames that may show it, None if its place is not known."""
    try:
        file = av.open(str(path))
    except av.FFmpegError:  # it is too short
        return None
    with file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
        if any(packet.pts is None for packet in packets):
            return None
        content, keys = path.read_bytes(), sorted(packet.pts for packet in packets if packet.is_keyframe)
        stamps = sorted(packet.pts for packet in packets)
        hit = rng.choice(packets)
        payload = bytes(hit)
        if content.count(payload) != 1 or len(payload) < 20:
            return None
        place = content.index(payload) + rng.randrange(8, len(payload) - 8)
        path.write_bytes(content[:place] + rng.randbytes(8) + content[place + 8 :])
        before = [key for key in keys if key <= hit.pts]
        after = [key for key in keys if key > hit.pts]
        first = stamps.index(before[-2] if len(before) > 1 else stamps[0])  # open groups of pictures refer back
        return range(first, stamps.index(after[1]) if len(after) > 1 else len(stamps))  # and refreshing takes one more


def test_damaged_videos(tmp_path):
    """Damage is refused by name or read; frames of other groups of pictures stay right, and nothing is random."""

    def use(given):
        path, rng = tmp_path / f"made.{given.made.container}", random.Random(given.seed)
        if not encode(given.made, path):
            return None
        whole = expected(path, given.made)
        touched = spoil_payload(path, rng) if given.damage == "payload" else None
        if given.damage != "payload":
            path.write_bytes(spoil(path.read_bytes(), given.damage, rng))
        readings = []
        for _ in range(2):
            with open_video(path) as reader:
                readings.append(reader.read(range(reader.length)))
                reader.read([rng.randrange(reader.length)])
                reader.times([0, reader.length - 1])
        if not np.array_equal(*readings):
            return "two readings differ"
        if given.damage == "payload" and touched is not None and whole is not None:
            theirs = decoded(path)  # PyAV, too, may not come to the end
            others = [frame for index, frame in enumerate(whole) if index not in touched]
            right = [frame for frame in others if any(apart(frame, one) <= ALIKE for one in theirs)]
            return None if follow(right, readings[0]) else "frames that are not damaged are missing or changed"
        return None

    try_all(damaged, use)


def follow(some, every):
    """Whether some pictures come in this order among others."""
    rest = iter(every)
    return all(any(apart(frame, one) <= ALIKE for frame in rest) for one in some)


SUFFIXES = ("mp4", "avi", "mkv", "webm", "mov", "ts", "gif", "txt", "jpg", "y4m", "h264", "mpd", "m3u8", "sdp", "ogv")
STARTS = (
    *(b"", b"\x00\x00\x00\x20ftypisom", b"\x1a\x45\xdf\xa3", b"RIFF\xff\xff\xff\xffAVI LIST", b"G" + bytes(187)),
    *(b"GIF89a\xff\xff\xff\xff", b"\x00\x00\x01\xba", b"#EXTM3U\n", b"ffconcat version 1.0\nfile /dev/zero\n", b"OggS"),
    *(b"v=0\nm=video 5 RTP/AVP 96\n", b"FLV\x01", b"<html>", b"DKIF", b"YUV4MPEG2 W9999999 H9999999\n"),
)


def test_files_that_are_no_videos(tmp_path):
    """Random bytes, texts and cut headers under any suffix are refused by name."""

    def make(rng):
        return rng.choice(SUFFIXES), rng.choice(STARTS) + rng.choice(
            (rng.randbytes(rng.randrange(3000)), b"text " * 99, bytes(999))
        )

    def use(given):
        path = tmp_path / f"made.{given[0]}"
        path.write_bytes(given[1])
        with open_video(path) as reader:
            frames = reader.read(range(min(reader.length, 50)))
        return None if frames.nbytes < 2**28 else "frames of a quarter of a gigabyte"

    outcomes = try_all(make, use)
    assert outcomes["clear error"] > outcomes["right"]


def test_refusals_are_of_one_kind(tmp_path):
    """What cannot be read is always an UnreadableVideoError with the name of the file."""
    path = tmp_path / "made.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(UnreadableVideoError, match=r"made\.mp4"):
        open_video(path)


FRAMES = (
    "img_%05d.jpg",
    "%d.png",
    "frame-%03d.jpeg",
    "v_Flow_g01_c01_%04d.jpg",
    "t %d.bmp",
    "1_%d.JPG",
    "17000000%02d.5.png",
)
BESIDE = (
    "flow_x_%05d.jpg",
    "flow_y_%05d.jpg",
    "%d_mask.png",
    "depth-%d.png",
    "seg_%d.tif",
    "x_%05d.jpg",
    "%dLabelIds.png",
)
SINGLE = ("cover.jpg", "Thumbs.jpg", "folder.png", "AlbumArt_{5}_Large.jpg", "poster.webp", "img.jpg", "note (1).jpg")
RIVALS = ("left_%d.jpg", "cam2_%05d.jpg", "other%03d.png", "b %d.jpg")


def test_frames_among_other_pictures():
    """Frames are told from what lies beside them, or two kinds are named."""

    def make(rng):
        numbers = sorted(rng.sample(range(100), rng.randint(2, 30)))
        pattern = rng.choice(FRAMES)
        frames = [pattern % number for number in numbers]
        others = [one % number for one in rng.sample(BESIDE, rng.randint(0, 4)) for number in numbers]
        others += rng.sample(SINGLE, rng.randint(0, 4))
        rivals = [rng.choice(RIVALS)] * (rng.random() < 0.3)
        others += [one % number for one in rivals for number in numbers]
        return frames, rng.sample([*frames, *others], len(frames) + len(others)), bool(rivals)

    def use(given):
        frames, names, ambiguous = given
        found = select_frames(Path("folder"), names)
        if ambiguous:
            return f"{len(found)} frames like {found[0]}, though there are two kinds"
        return None if found == frames else f"{found[:4]}, not {frames[:4]}"

    try_all(make, use)
