"""Video files of any kind, and what is in them."""

from fractions import Fraction

import av
import numpy as np
import pytest

HEIGHT, WIDTH = 64, 96
KEYS_EVERY_10 = {"g": "10", "bf": "3"}
MILLISECOND = Fraction(1, 1000)


def picture(index):
    """A smooth picture, unlike those before and after it."""
    y, x = np.linspace(0, 1, HEIGHT)[:, None], np.linspace(0, 1, WIDTH)[None]
    waves = [np.sin(2 * np.pi * (x * a + y * b + 0.17 * index)) for a, b in ((1, 0), (0, 1), (0.5, 0.5))]
    return np.stack([128 + 90 * wave + np.zeros((HEIGHT, WIDTH)) for wave in waves], axis=-1).astype(np.uint8)


@pytest.fixture
def encode(tmp_path):
    """Writes a video with PyAV and gives its path."""

    def write(name, frames=24, codec="libx264", times=None, options=KEYS_EVERY_10, metadata=None, rate=25, **container):
        path = tmp_path / name
        times = times or [1000 * index // rate for index in range(frames)]  # milliseconds
        with av.open(str(path), "w", options=container) as file:
            file.metadata.update(metadata or {})
            stream = file.add_stream(codec, rate=rate, options=options)
            stream.width, stream.height = WIDTH, HEIGHT
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            steady = codec == "mpeg4" or path.suffix == ".avi"  # they have no finer times
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
