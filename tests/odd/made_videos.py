"""Videos of many kinds: codecs, depths, colours, containers, times."""

import random
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

HEIGHT, WIDTH, RATE = 64, 96, 25
X264 = (
    {"g": "10", "bf": "3"},
    {"g": "12", "x264-params": "interlaced=1:tff=1"},
    {"bf": "0"},
    {"g": "1"},
    {"x264-params": "open-gop=1:scenecut=0:keyint=10"},
    {"x264-params": "intra-refresh=1:keyint=10"},
    {"slices": "4", "refs": "4", "g": "250"},
)
X265 = ({"x265-params": "log-level=none:keyint=10"},)
VPX = ({"g": "10", "deadline": "realtime", "cpu-used": "8"},)
FIELDS = {"g": "8", "flags": "+ildct+ilme"}
CODECS = {  # pixels, containers and settings of each
    "libx264": (
        ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"],
        ["mp4", "mov", "mkv", "ts", "mts", "3gp", "flv", "avi", "h264", "mxf"],
        X264,
    ),
    "libx264rgb": (["rgb24"], ["mkv", "mp4"], ({"g": "10"},)),
    "libx265": (["yuv420p", "yuv420p10le", "yuv444p12le", "gray"], ["mp4", "mkv", "ts", "hevc"], X265),
    "libvpx": (["yuv420p"], ["webm", "mkv", "ivf"], VPX),
    "libvpx-vp9": (["yuv420p", "yuv444p", "gbrp"], ["webm", "mp4", "ivf"], VPX),
    "libsvtav1": (
        ["yuv420p", "yuv420p10le"],
        ["mp4", "webm", "ivf"],
        ({"preset": "13", "g": "10", "svtav1-params": "lp=1"},),
    ),
    "mpeg4": (["yuv420p"], ["mp4", "mov", "avi", "mkv", "3gp", "m4v"], ({"g": "10"}, {"g": "10", "bf": "2"}, FIELDS)),
    "mpeg2video": (["yuv420p", "yuv422p"], ["mpg", "vob", "ts", "mkv", "mxf"], ({"g": "10", "bf": "2"}, FIELDS)),
    "mpeg1video": (["yuv420p"], ["mpg", "ts"], ({"g": "10", "bf": "2"},)),
    "mjpeg": (["yuvj420p", "yuvj444p"], ["avi", "mov", "mkv", "mjpeg"], ({},)),
    "prores_ks": (["yuv422p10le", "yuva444p10le"], ["mov", "mkv"], ({}, {"flags": "+ildct"})),
    "dnxhd": (["yuv422p"], ["mov", "mxf"], ({"profile": "dnxhr_sq"},)),
    "ffv1": (["yuv420p", "yuv422p10le", "gbrp16le", "gray16le", "bgra"], ["mkv", "avi"], ({},)),
    "png": (["rgb24", "rgba", "rgb48be", "gray", "gray16be"], ["mov", "avi"], ({},)),
    "qtrle": (["rgb24", "argb"], ["mov"], ({},)),
    "huffyuv": (["rgb24", "yuv422p"], ["avi"], ({},)),
    "rawvideo": (["rgb24", "yuv420p", "yuyv422"], ["nut", "mov"], ({},)),
    "gif": (["rgb8", "gray"], ["gif"], ({},)),
    "wmv2": (["yuv420p"], ["wmv", "asf", "avi"], ({"g": "10"},)),
    "flv": (["yuv420p"], ["flv"], ({"g": "10"},)),
    "rv20": (["yuv420p"], ["rm"], ({"g": "10"},)),
}
FORMATS = {"mts": "mpegts", "m4v": "m4v", "mjpeg": "mjpeg", "h264": "h264", "hevc": "hevc", "3gp": "3gp"}
FINE = ("libx264", "libx265", "libvpx", "libvpx-vp9", "mjpeg", "ffv1")  # codecs that take times in milliseconds
MATRICES = (1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 14)
STEADY = "steady"


class Made(NamedTuple):
    """What a made video is like."""

    codec: str
    pixels: str
    container: str
    settings: tuple[tuple[str, str], ...]
    frames: int = 24
    colours: tuple[int, int] | None = None  # matrix and range
    turned: int = 0  # degrees
    times: str = STEADY


def video(rng: random.Random) -> Made:
    """A made video of any kind."""
    codec = rng.choice([*CODECS] + ["libx264"] * 8)
    pixels, containers, settings = CODECS[codec]
    container = rng.choice(containers)
    yuv = codec in ("libx264", "libx265", "libvpx-vp9", "mpeg4", "mpeg2video", "ffv1")
    fine = codec in FINE and container in ("mkv", "mp4", "mov", "webm")
    return Made(
        codec,
        rng.choice(pixels),
        container,
        tuple(rng.choice(settings).items()),
        rng.choice((1, 2, 11, 24, 24, 40)),
        (rng.choice(MATRICES), rng.choice((0, 1, 2))) if yuv and rng.random() < 0.3 else None,
        rng.choice((90, 180, -90)) if container in ("mp4", "mov") and rng.random() < 0.3 else 0,
        rng.choice((STEADY, "uneven", "jump", "clock", "lapse", "late", "dense")) if fine else STEADY,
    )


def milliseconds(made: Made) -> list[int]:
    """When its frames are shown."""
    steady = [1000 * index // RATE for index in range(made.frames)]
    gaps = random.Random(made.frames).choices((10, 40, 200, 900), k=made.frames)
    return {
        STEADY: steady,
        "uneven": [sum(gaps[:index]) for index in range(made.frames)],
        "jump": [time + 37_600_000 * (2 * index >= made.frames) for index, time in enumerate(steady)],
        "clock": [time + 1_700_000_000_000 * (index > 0) for index, time in enumerate(steady)],
        "lapse": [3_600_000 * index for index in range(made.frames)],
        "late": [time + 5_000 for time in steady],
        "dense": list(range(made.frames)),
    }[made.times]


def picture(index: int) -> np.ndarray:
    """A smooth picture, unlike those before and after it."""
    y, x = np.linspace(0, 1, HEIGHT)[:, None], np.linspace(0, 1, WIDTH)[None]
    waves = [np.sin(2 * np.pi * (x * a + y * b + 0.17 * index)) for a, b in ((1, 0), (0, 1), (0.5, 0.5))]
    return np.stack([128 + 90 * wave + np.zeros((HEIGHT, WIDTH)) for wave in waves], axis=-1).astype(np.uint8)


def encode(made: Made, path: Path) -> bool:
    """Write its file; whether FFmpeg makes such."""
    settings = dict(made.settings)
    if made.colours:
        settings |= {"colorspace": str(made.colours[0]), "color_range": str(made.colours[1])}
    size = (256, 128) if made.codec == "dnxhd" else (WIDTH, HEIGHT)
    unit = Fraction(1, RATE) if made.times == STEADY else Fraction(1, 1000)
    times = [round(time * Fraction(1, 1000) / unit) for time in milliseconds(made)]
    try:
        with av.open(str(path), "w", format=FORMATS.get(made.container)) as file:
            stream = file.add_stream(made.codec, rate=RATE, options=settings)
            stream.width, stream.height, stream.pix_fmt = *size, made.pixels
            stream.codec_context.time_base = unit
            if made.turned:
                stream.set_display_rotation(made.turned)
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24").reformat(*size, made.pixels)
                frame.pts, frame.time_base = time, unit
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    except (av.FFmpegError, ValueError, TypeError):
        return False
    return True
