"""Drawing for all tasks: colours of classes, text, pictures side by side, files."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from ..files.whole import write_bytes
from .fonts import dejavu, font, font_of, legible

LEAST_SIDE = 512  # smaller pictures are enlarged, so that labels can be read
GOLDEN_RATIO = 0.618034
FIRST_COLOURS = bytes.fromhex(  # RGB of the first classes, each as far as can be from those before it in CIE L*a*b*
    "e6194b 00ff00 3c0fff 3ce1ff ffc300 0f690f e196ff ffb496 005a96 ff1eff "
    "00f0a5 873c5a ff6900 0f4bd2 784b00 a5e14b e10096 96c387 ff87b4 96b4ff "
)

Picture = UInt8[np.ndarray, "_ _ 3"]  # of any height and width
Colour = tuple[int, int, int]


def resized(image: UInt8[Tensor, "3 h w"], greatest: int) -> Picture:
    """Image resized for viewing: short side at least 512 pixels, long side at most `greatest`.

    Args:
        image: RGB.
        greatest: most pixels of the long side; takes precedence.
    """
    height, width = image.shape[-2:]
    factor = min(max(1, LEAST_SIDE / min(height, width)), greatest / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    planes = image.cpu().numpy()
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.stack([cv2.resize(plane, size, interpolation=how) for plane in planes], axis=2)


def side_by_side(pictures: Sequence[Picture], titles: Sequence[str]) -> Picture:
    """Pictures of one size next to each other, each under its title."""
    panels = []
    for picture, title in zip(pictures, titles, strict=True):
        height = text_height(picture) * 2
        bar = np.full((height, picture.shape[1], 3), 255, np.uint8)
        write(bar, title, height // 4, height // 4 * 3, text_height(picture), (0, 0, 0))
        panels.append(np.pad(np.vstack([bar, picture]), ((0, 0), (0, height // 4), (0, 0)), constant_values=255))
    return np.hstack(panels)


def save(path: Path, picture: Picture) -> None:
    """Write an RGB picture to a file whose suffix names the format.

    Raises:
        OSError: the file cannot be written.
    """
    fits, data = cv2.imencode(path.suffix, picture[..., ::-1])  # `imwrite` ends Python for names that are not UTF-8
    if not fits:
        raise OSError(f"{path} cannot be written: {picture.shape[:2]} pixels are too many for its format.")
    write_bytes(path, data.tobytes())


def class_colour(label: int, shade: int = 0) -> Colour:
    """RGB colour of a class, far from those of other classes; from the 21st on, of a hue far from its neighbours'.

    Args:
        label: of the class.
        shade: neighbouring numbers give lighter and darker shades, to tell objects of one class apart.
    """
    if 3 * label < len(FIRST_COLOURS):
        colour = tuple(channel / 255 for channel in FIRST_COLOURS[3 * label : 3 * label + 3])
    else:
        colour = colorsys.hls_to_rgb((0.35 + label * GOLDEN_RATIO) % 1, 0.5, 0.9)
    end, share = ((0, 0), (1, 0.25), (0, 0.2))[shade % 3]  # towards white or black, and how far
    red, green, blue = (round(255 * (channel + share * (end - channel))) for channel in colour)
    return red, green, blue


def text_height(picture: Picture) -> int:
    """Height of capitals for a picture of this size, pixels."""
    return max(10, round(min(picture.shape[:2]) / 42))


def shorten(text: str, room: int, height: int) -> str:
    """Text cut to a width in pixels, with dots at the end, for a height of capitals."""
    if text_width(text, height) <= room:
        return text
    while text and text_width(f"{text}...", height) > room:
        text = text[:-1]
    return f"{text.rstrip()}..."


def text_width(text: str, height: int) -> int:
    """Width of a text in pixels, for a height of capitals."""
    line = legible(text)
    return round(font(font_of(line) or dejavu(), height).getlength(line))


def write(picture: Picture, text: str, left: int, bottom: int, height: int, ink: Colour) -> None:
    """Write a line of text, in any script for which there is a font, otherwise in Latin letters.

    Args:
        picture: drawn on.
        text: to write.
        left: column where it starts.
        bottom: row of the baseline.
        height: of capitals, pixels.
        ink: RGB.
    """
    line = legible(text)
    face = font(font_of(line) or dejavu(), height)
    first, above, last, below = map(round, face.getbbox(line, anchor="ls"))
    stencil = Image.new("L", (max(last - first, 1), max(below - above, 1)))
    ImageDraw.Draw(stencil).text((-first, -above), line, 255, face, anchor="ls")
    top, left = bottom + above, left + first
    part = picture[max(top, 0) : max(top + stencil.height, 0), max(left, 0) : max(left + stencil.width, 0)]
    cover = np.asarray(stencil, np.float32)[max(-top, 0) :, max(-left, 0) :, None] / 255
    cover = cover[: part.shape[0], : part.shape[1]]  # clipped to the picture
    part[:] = np.round(part * (1 - cover) + np.array(ink, np.float32) * cover)
