"""Which formats of images and videos can be read here: small pictures are written and read again."""

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from PIL import Image

from ...imaging.decoding.rgb import decode_image
from .finding import Finding, first_line

WRITTEN = {  # names of formats by which Pillow writes them
    **{name: name for name in ("JPEG", "PNG", "TIFF", "WebP", "BMP", "GIF")},
    **{"JPEG 2000": "JPEG2000", "AVIF": "AVIF", "PNM": "PPM", "TGA": "TGA"},
}
VIDEO = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mpeg2video", "mjpeg", "prores")
OTHER = "read with other pixels than were written"
FAR = 8.0  # mean distance of pixels from what was written, of 255, that no lossy format reaches with a plain picture


def decoders() -> Iterator[Finding]:
    """Formats that can be read, those that cannot, and decoders of videos."""
    problems = {name: problem for name in WRITTEN if (problem := image_problem(name)) is not None}
    yield Finding("images read", ", ".join(name for name in WRITTEN if name not in problems))
    for name, problem in problems.items():
        yield Finding(name, f"{problem}: pip install --upgrade pillow imagecodecs", wrong=True)
    yield Finding("HEIC", loading_problem("pillow_heif") or "can be read")
    yield Finding("videos, PyAV", ", ".join(name for name in VIDEO if name in av.codecs_available) or "none", False)
    yield Finding("videos, torchcodec", loading_problem("torchcodec.decoders") or "can be read")


def image_problem(name: str) -> str | None:
    """Why a picture of a format is not read as it was written; None if it is.

    Args:
        name: one of `WRITTEN`.
    """
    pixels = np.full((16, 24, 3), 96, np.uint8)
    encoded = BytesIO()
    try:
        Image.fromarray(pixels).save(encoded, WRITTEN[name])
        read = decode_image(encoded.getvalue(), Path(f"a picture in {name}"))
    except Exception as error:  # whatever a decoder that is built wrongly raises
        return first_line(error)
    if read.shape != pixels.shape or np.abs(read.astype(int) - pixels).mean() > FAR:
        return OTHER
    return None


def loading_problem(module: str) -> str | None:
    """Why an optional package does not load; None if it does."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        return f"not installed ({error.name})"
    except (ImportError, OSError, RuntimeError) as error:  # of libraries of the system
        return f"does not load ({first_line(error)})"
    return None
