"""Video files of any kind, what is in them, and a small classifier with a finished run for the tests of the command."""

import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from swinv2.shapes import make_video

HEIGHT, WIDTH = 64, 96
KILL = """
import os, signal
from swinv2.cli import main
from video.inference.resume import Finished

add, batches = Finished.add, []

def add_and_kill(self, batch):
    add(self, batch)
    batches.append(batch)
    if len(batches) == {batches}:
        os.killpg(0, signal.SIGKILL)  # those that load, too

Finished.add = add_and_kill
raise SystemExit(main({command}))
"""
KEYS_EVERY_10 = {"g": "10", "bf": "3"}
MILLISECOND = Fraction(1, 1000)


def picture(index):
    """A smooth picture, unlike those before and after it."""
    y, x = np.linspace(0, 1, HEIGHT)[:, None], np.linspace(0, 1, WIDTH)[None]
    waves = [np.sin(2 * np.pi * (x * a + y * b + 0.17 * index)) for a, b in ((1, 0), (0, 1), (0.5, 0.5))]
    return np.stack([128 + 90 * wave + np.zeros((HEIGHT, WIDTH)) for wave in waves], axis=-1).astype(np.uint8)


@pytest.fixture
def pictures():
    """Gives the frames that a video is made of."""
    return lambda count: np.stack([picture(index) for index in range(count)])


@pytest.fixture
def encode(tmp_path):
    """Writes a video with PyAV and gives its path."""

    def write(
        name, frames=24, codec="libx264", times=None, options=KEYS_EVERY_10, metadata=None, rate=25, pixels=None,
        turned=None, form=None, **container,
    ):  # fmt: skip
        path = tmp_path / name
        times = times or [1000 * index // rate for index in range(frames)]  # milliseconds
        with av.open(str(path), "w", format=form, options=container) as file:
            file.metadata.update(metadata or {})
            stream = file.add_stream(codec, rate=rate, options=options)
            stream.width, stream.height = WIDTH, HEIGHT
            stream.pix_fmt = pixels or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
            if turned is not None:
                stream.set_display_rotation(*turned)
            steady = codec in ("mpeg1video", "mpeg2video", "mpeg4") or path.suffix == ".avi"  # they have no finer times
            stream.codec_context.time_base = Fraction(1, rate) if steady else MILLISECOND
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
                frame.time_base = stream.codec_context.time_base
                frame.pts = round(time * MILLISECOND / frame.time_base)
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
        return path

    return write


@pytest.fixture
def decode():
    """The frames of a video as PyAV decodes them one after the other, up to its end or the first damage."""

    def read(path):
        frames = []
        with av.open(str(path)) as file:
            try:
                for frame in file.decode(video=0):
                    frames.append(frame.to_ndarray(format="rgb24"))
            except av.InvalidDataError:
                pass
        return np.stack(frames)

    return read


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A small set of sample data."""
    return make_video(tmp_path_factory.mktemp("shapes") / "video", train=8, val=6, size=32)


@pytest.fixture(scope="session")
def dwarf():
    """Settings of a backbone of the least size."""
    return {
        "name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
        "window_size": [2, 4, 4],
    }  # fmt: skip


@pytest.fixture(scope="session")
def recipe(shapes, dwarf):
    """Writes a recipe of a model of the least size into a folder, and gives its file."""

    def write(folder, root=shapes, classes=None, model=(), data=(), **trainer):
        classifier = {"backbone": dwarf, "num_classes": classes}
        content = {
            "model": {"model": {"class_path": "VideoClassifier", "init_args": classifier}, **dict(model)},
            "data": {
                "root": str(root), "batch_size": 4, "num_workers": 0, "frames": 4, "size": 32, "short_edge": 32,
                **dict(data),
            },
            "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, **trainer},
        }  # fmt: skip
        path = folder / "small.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return write


@pytest.fixture
def trained(recipe, tmp_path, monkeypatch, finished_run):
    """The recipe of a finished run, whose folder is below the current one, and what the run said."""
    monkeypatch.chdir(tmp_path)
    path = recipe(tmp_path)
    return path, finished_run("video", Path(path))


@pytest.fixture
def killed_test(run_code):
    """Runs a test of videos, each process of which is killed when some of its batches are finished."""

    def run(command, batches, processes=1):
        codes, said = run_code(KILL.format(command=command, batches=batches), processes)
        assert codes == [-signal.SIGKILL] * processes, said

    return run
