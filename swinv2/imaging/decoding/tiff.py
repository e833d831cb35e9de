"""TIFF files: stored values, and RGB pixels.

tifffile reads all variants. OpenCV multiplies a fourth band into the colours, and Pillow knows few kinds of bands.
"""

import logging
import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import imagecodecs
import numpy as np
from jaxtyping import Shaped, UInt8, UInt16
from PIL import Image
from tifffile import TiffFile, TiffPage

from .errors import damaged, too_many_bands, unsupported, wrong_depth
from .formats import raw_photo
from .pillow import quiet
from .size import MOST_PER_BYTE, check_size, parse_jpeg


class Once(logging.Filter):
    """Log filter that passes each message once, whatever file it names."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is new."""
        new = record.msg not in self.said
        self.said.add(record.msg)
        return new


logger = logging.getLogger(__name__)
logger.addFilter(Once())
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # problems of a file are in our errors

TIFF = "TIFF"
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)  # photometric interpretations
NONE, FAX_RLE, FAX3, FAX4, LZW, OLD_JPEG, JPEG, DEFLATE = range(1, 9)  # compressions
OLD_DEFLATE, PACKBITS, LZMA, ZSTD, WEBP = 32946, 32773, 34925, 50000, 50001
LOSSLESS = (NONE, FAX_RLE, FAX3, FAX4, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA, ZSTD)
LOSSY = (OLD_JPEG, JPEG, WEBP, 33003, 33004, 33005, 34712)  # or possibly lossy; the last four are JPEG 2000
MOST_BYTES = {NONE: 1, PACKBITS: 64, LZW: 2731, DEFLATE: 1032, OLD_DEFLATE: 1032}  # that a byte expands to

COLOUR_FILTERS, LINEAR_RAW = 32803, 34892  # photometric interpretations of raw photos
JPEG_END = b"\xff\xd9"
REDUCED, TRANSPARENCY = 1, 4  # flags of a page: a smaller copy, a mask
SUBFILES, MAKE, DNG_VERSION, INK_SET = 330, 271, 50706, 332  # tags
BITS, PHOTOMETRIC, ORIENTATION = 258, 262, 274

NUMBERS = (  # attributes of a page that must be integers
    *("imagewidth", "imagelength", "imagedepth", "samplesperpixel", "compression", "photometric", "planarconfig"),
    *("rowsperstrip", "tilewidth", "tilelength", "tiledepth", "predictor", "fillorder", "subfiletype"),
)


class TiffPicture(NamedTuple):
    """Page of a TIFF.

    Attributes:
        samples: values as stored; RGB for JPEG and YCbCr.
        bits: per value.
        photometric: interpretation.
        palette: colours of 16 bits, by index, if the values are indices.
        orientation: as in EXIF.
    """

    samples: Shaped[np.ndarray, "h w channels"]
    bits: int
    photometric: int
    palette: UInt16[np.ndarray, "3 colours"] | None
    orientation: object


def read_tiff(data: bytes, path: Path, accept: Callable[[TiffPage, Path], None]) -> TiffPicture:
    """First page of a TIFF that is no smaller copy or mask of another; further pages are mentioned in the log once.

    Args:
        data: content of the file.
        path: of the file, for messages.
        accept: raises for unwanted pages, before they are decoded.

    Raises:
        UnreadableImageError: it is damaged, a raw photo, or of a size or compression that is not accepted.
    """
    with quiet(path, TIFF):
        file = TiffFile(BytesIO(data))
        page, several = pick_page(file)
        orientation = page.tags.valueof(ORIENTATION, 1)
    if not is_told(page):
        raise damaged(path, TIFF, "a tag is missing, or is no number")
    first = file.pages.first.tags
    if DNG_VERSION in first or (page.subfiletype & REDUCED and SUBFILES in first and MAKE in first):
        raise raw_photo(path)
    check_page(page, path, len(data))
    accept(page, path)
    with quiet(path, TIFF):
        check_segments(page, path, data)
        samples = decode_page(page, data)
    if several:
        logger.warning("Of TIFFs with several pages the first is read, e.g. of %s (said once)", path)
    palette = page.colormap if page.photometric == PALETTE else None
    return TiffPicture(samples, page.bitspersample, page.photometric, palette, orientation)


def is_told(page: TiffPage) -> bool:
    """Whether the necessary tags of a page exist and are numbers; tifffile would replace lost tags by defaults."""
    plain = page.samplesperpixel == 1 and page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    bits = page.tags[BITS].count in (1, page.samplesperpixel) if BITS in page.tags else plain
    bits = bits and isinstance(page.bitspersample, (int, tuple))
    numbers = all(isinstance(getattr(page, name), int) for name in NUMBERS)
    ways = page.planarconfig in (1, 2) and page.fillorder in (1, 2) and page.predictor in (1, 2, 3)
    colours = page.photometric != PALETTE or has_colours(page)
    return numbers and bits and ways and colours and PHOTOMETRIC in page.tags


def has_colours(page: TiffPage) -> bool:
    """Whether a page has a palette of red, green and blue."""
    colours = np.asarray(page.colormap)
    return colours.shape[:-1] == (3,) and colours.dtype == np.uint16


def pick_page(file: TiffFile) -> tuple[TiffPage, bool]:
    """First page that is neither a smaller copy nor a mask, or else page 1, and whether more such pages follow."""
    first: TiffPage | None = None
    for page in file.pages:
        if isinstance(page, TiffPage) and not int(page.subfiletype) & (REDUCED | TRANSPARENCY):
            if first is not None:
                return first, True
            first = page
    return first or file.pages.first, False


def check_page(page: TiffPage, path: Path, size: int) -> None:
    """Raise unless a page has an accepted size, depth and compression.

    Args:
        page: to check, by its tags.
        path: of the file, for messages.
        size: of the file, bytes.

    Raises:
        UnreadableImageError: it has not.
    """
    if page.compression not in (*LOSSLESS, *LOSSY):
        raise unsupported(path, TIFF, f"compression {getattr(page.compression, 'name', page.compression)}")
    if page.imagedepth != 1 or page.tiledepth > 1:
        raise unsupported(path, TIFF, f"volume of {page.imagedepth} slices")
    bits = sum(page.bitspersample) if isinstance(page.bitspersample, tuple) else page.bitspersample
    bits_per_byte = 8 * MOST_BYTES.get(page.compression, MOST_PER_BYTE)
    per_byte = bits_per_byte / max(bits * page.samplesperpixel, 1)
    check_size(path, TIFF, page.imagelength, page.imagewidth, size, per_byte)
    if page.is_tiled and page.tilelength * page.tilewidth > max(per_byte * size, 1):
        raise damaged(path, TIFF, f"it says that its tiles have {page.tilelength} x {page.tilewidth} pixels")


def check_segments(page: TiffPage, path: Path, data: bytes) -> None:
    """Raise unless all strips or tiles of a page are in the file; decoders would fill missing ones.

    Args:
        page: to check.
        path: of the file, for messages.
        data: content of the file.

    Raises:
        UnreadableImageError: a strip or tile is missing, cut short, or a JPEG that is too large.
    """
    segments = [*zip(page.dataoffsets, page.databytecounts, strict=False)]
    missing = math.prod(page.chunked) - sum(1 for offset, count in segments if offset and count)
    if missing:
        raise damaged(path, TIFF, f"{missing} of its {math.prod(page.chunked)} strips or tiles are missing")
    if page.compression != NONE and any(offset + count > len(data) for offset, count in segments):
        raise damaged(path, TIFF, "it ends before its last strip or tile")
    if page.compression == JPEG and any(data.rfind(JPEG_END, at, at + count) < 0 for at, count in segments):
        raise damaged(path, TIFF, "a strip or tile ends before its last pixels")
    most = max(page.imagelength * page.imagewidth, math.prod(page.chunks))  # pixels of a strip or tile
    jpegs = [parse_jpeg(data[at : at + count]) for at, count in segments] if page.compression == JPEG else []
    for jpeg in jpegs:
        if jpeg is not None and jpeg.height * jpeg.width > most:
            raise damaged(path, TIFF, f"it holds a JPEG of {jpeg.height} x {jpeg.width} pixels, more than its own")


def decode_page(page: TiffPage, data: bytes) -> Shaped[np.ndarray, "h w channels"]:
    """Values of a page; RGB for YCbCr, whose subsampling libtiff can decode; libtiff is also faster at LZW."""
    planes, _, height, width, channels = page.shaped
    if page.photometric == YCBCR and page.compression in LOSSLESS:
        if ORIENTATION in page.tags:  # libtiff would apply it in part
            at = page.tags[ORIENTATION].valueoffset
            data = data[:at] + bytes(2) + data[at + 2 :]
        return imagecodecs.tiff_decode(data, asrgb=True)[..., :3]
    if page.compression == LZW and page.dtype == np.uint8 and page.photometric in (*range(RGB), RGB, PALETTE):
        shape = [size for axis, size in enumerate((planes, height, width, channels)) if size > 1 or axis in (1, 2)]
        samples = imagecodecs.tiff_decode(data, out=np.zeros(shape, np.uint8))
    else:
        samples = page.asarray(squeeze=False, maxworkers=1)
    samples = samples.reshape(planes, height, width, channels)
    return samples[0] if planes == 1 else np.moveaxis(samples[..., 0], 0, -1)


def accept_image(page: TiffPage, path: Path) -> None:
    """Raise unless a page can be converted to RGB of 8 bits.

    Raises:
        UnreadableImageError: it has too many bands, or colours of another kind.
        ImageDepthError: its values have more than 8 bits, or are no unsigned integers.
    """
    kind, bands, bits = page.photometric, page.samplesperpixel, page.bitspersample
    values = f"values of type {page.dtype}" if page.dtype is not None else f"values of {bits} bits"
    if kind in (COLOUR_FILTERS, LINEAR_RAW):
        raise raw_photo(path)
    if kind > YCBCR or (kind == CMYK and (bands < 4 or page.tags.valueof(INK_SET, 1) != 1)):
        raise unsupported(path, TIFF, f"{bands} bands of {getattr(kind, 'name', f'photometric interpretation {kind}')}")
    if bands > 4 + (kind == CMYK):
        raise too_many_bands(path, TIFF, bands, values)
    if bands < 3 and kind in (RGB, YCBCR):
        raise unsupported(path, TIFF, f"{bands} bands that are said to be RGB")
    if page.dtype not in (np.uint8, np.bool_) or not isinstance(bits, int):
        raise wrong_depth(path, values)
    if bands in (2, 4) and kind != CMYK:
        logger.warning(
            "Of TIFFs the band beside grey or RGB, e.g. alpha or infrared, is left out: %s (said once)", path
        )


def tiff_rgb(picture: TiffPicture, path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of a picture that `accept_image` accepts; a fourth band is ignored.

    Colours that are stored premultiplied by alpha stay so.

    Raises:
        UnreadableImageError: a palette index has no colour.
    """
    samples = picture.samples
    if picture.palette is not None:
        colours = picture.palette if picture.palette.max(initial=0) < 256 else picture.palette >> 8
        with quiet(path, TIFF):
            return colours.T.astype(np.uint8)[samples[..., 0].astype(np.uint8)]
    if picture.photometric == CMYK:
        inks = np.ascontiguousarray(samples[..., :4])
        return np.array(Image.frombuffer("CMYK", inks.shape[1::-1], inks.tobytes()).convert("RGB"))
    if picture.bits < 8:
        levels = np.arange(2**picture.bits) * 255 / (2**picture.bits - 1)
        samples = levels.round().astype(np.uint8)[samples.astype(np.uint8)]
    if picture.photometric == WHITE_IS_ZERO and samples.shape[2] < 3:
        samples = 255 - samples
    if samples.shape[2] < 3:
        return cv2.cvtColor(np.ascontiguousarray(samples[..., 0]), cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(samples[..., :3])
