"""Decoding clips: video.readers.opening beside PyAV, and torchcodec where it loads; frames per second."""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from benchmarks.timing import machine, medians, table
from swinv2.imaging.drawing import Picture
from swinv2.imaging.video_writer import write_video
from video.data.sampling import Dense
from video.readers.opening import open_video
from video.readers.reader import Frames
from video.readers.torchcodec_reader import import_decoder

RESULT = Path(__file__).with_suffix(".md")
HEIGHT, WIDTH, LENGTH, RATE = 256, 340, 300, 30  # as Kinetics is usually stored: ten seconds
CLIPS = Dense(frames=32, stride=2)
COUNT = 8  # clips a round
ALIKE = 2  # grey levels; two builds of FFmpeg may round the colours differently

NOTE = f"""\
`python -m benchmarks.decoding`. A video of {WIDTH} x {HEIGHT} pixels and {LENGTH} frames, which the benchmark makes.
A clip is {CLIPS.frames} frames of stride {CLIPS.stride} from a random place; the file is opened for each clip anew, as
in training. Frames per second are those given as RGB arrays; those decoded and thrown away are not counted. PyAV by the
usual loop seeks the key frame before the clip and decodes from there, on as many threads as FFmpeg finds right, and
converts each frame by `to_ndarray`; ours stands on PyAV, too, lists the packets first, so that frame i is frame i
whatever the times, and keeps what converts the colours. torchcodec (where there is a column of it) is asked for one
thread.
"""


def main() -> None:
    """Measure, print the table and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each decoder is called")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        text = f"# Decoding\n\n{speed(Path(folder), rounds)}\n{machine()}, medians of {rounds} rounds.\n{NOTE}"
    print(text)
    RESULT.write_text(text)


def speed(folder: Path, rounds: int) -> str:
    """The table of frames per second, after a look at whether all give the same frames."""
    torch.manual_seed(0)
    readers = available()
    clips = [CLIPS.train(LENGTH) for _ in range(COUNT)]
    works = {f"{COUNT} random clips": clips, "all frames, one after the other": [list(range(LENGTH))]}
    rows, apart = [], 0
    for codec, path in {"MPEG-4": mpeg4(folder), "H.264": h264(folder)}.items():
        apart = max(apart, *(difference(readers, path, indices) for indices in clips))
        for what, wanted in works.items():
            took = medians({name: reading(read, path, wanted) for name, read in readers.items()}, rounds)
            frames = sum(map(len, wanted))
            speeds = [f"{frames / seconds:.0f}" for seconds in took.values()]
            rows.append([f"{codec}, {what}", *speeds, f"{took['ours'] / took['PyAV']:.2f}"])
    names = {"PyAV": f"PyAV {metadata.version('av')}, usual loop"}
    header = ["", *(f"{names.get(name, name)}, frames/s" for name in readers), "ours / usual loop (time)"]
    return f"{table(header, rows)}\n\nThe frames of all differ by at most {apart} grey levels.\n"


def available() -> dict[str, Callable[[Path, Sequence[int]], Frames]]:
    """What reads frames of a file by their numbers, by name."""
    readers = {"PyAV": pyav, "ours": ours}
    try:
        import_decoder()
    except ImportError as error:
        print(error)
        return readers
    return readers | {"torchcodec": torchcodec}


def ours(path: Path, indices: Sequence[int]) -> Frames:
    """Frames as the data sets read them."""
    with open_video(path) as reader:
        return reader.read(indices)


def torchcodec(path: Path, indices: Sequence[int]) -> Frames:
    """The same through our other backend."""
    with open_video(path, "torchcodec") as reader:
        return reader.read(indices)


def pyav(path: Path, indices: Sequence[int]) -> Frames:
    """Ascending frames of a steady rate by the usual loop."""
    frames = []
    wanted = set(indices)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        ticks = 1 / (stream.average_rate * stream.time_base)  # of a frame
        file.seek(int(indices[0] * ticks), stream=stream)
        for frame in file.decode(stream):
            number = round(frame.pts / ticks)
            if number in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if number >= indices[-1]:
                break
    return np.stack(frames)


def reading(
    read: Callable[[Path, Sequence[int]], Frames], path: Path, clips: Sequence[Sequence[int]]
) -> Callable[[], None]:
    """A call that reads clips of a file one after the other."""

    def call() -> None:
        for indices in clips:
            read(path, indices)

    return call


def difference(readers: dict[str, Callable[[Path, Sequence[int]], Frames]], path: Path, indices: Sequence[int]) -> int:
    """Largest difference between the frames that each gives, in grey levels."""
    first, *others = (read(path, indices).astype(int) for read in readers.values())
    apart = max(int(abs(other - first).max()) for other in others)
    assert apart <= ALIKE, f"{path.name}: {apart} grey levels apart"
    return apart


def mpeg4(folder: Path) -> Path:
    """A file as we write them: a key frame for every 12 frames."""
    path = folder / "mpeg4.mp4"
    write_video(path, pictures(), (HEIGHT, WIDTH), RATE)
    return path


def h264(folder: Path) -> Path:
    """A file as those of Kinetics: H.264 with x264's own settings, a key frame for every 250 frames."""
    path = folder / "h264.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures():
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return path


def pictures() -> Iterator[Picture]:
    """A camera that moves over a coarse pattern with fine noise, at another speed on either axis."""
    chance = np.random.default_rng(0)
    size = (HEIGHT + LENGTH, WIDTH + 2 * LENGTH)
    coarse = cv2.resize(chance.integers(0, 256, (18, 30, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    scene = np.clip(coarse + chance.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)
    for i in range(LENGTH):
        yield np.ascontiguousarray(scene[i : i + HEIGHT, 2 * i : 2 * i + WIDTH])


if __name__ == "__main__":
    main()
