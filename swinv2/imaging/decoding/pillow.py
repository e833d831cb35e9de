"""Image files opened with Pillow: rare formats, and rare kinds of the common ones."""

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TgaImagePlugin import TgaImageFile
from PIL.WebPImagePlugin import WebPImageFile

from .errors import Decoding, ImageDepthError, UnreadableImageError, damaged, too_many_bands, unsupported, wrong_depth
from .size import check_size

PLUGINS: dict[str, type[ImageFile]] = {  # `Image.open` would try other formats, too, and has a size limit of its own
    "AVIF": AvifImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "JPEG": JpegImageFile,
    "JPEG 2000": Jpeg2KImageFile,
    "PNG": PngImageFile,
    "PNM": PpmImageFile,
    "TGA": TgaImageFile,
    "WebP": WebPImageFile,
}
FEATURES = {"AVIF": "avif", "JPEG 2000": "jpg_2000"}  # formats that Pillow may be built without

JP2_START = b"\xff\x4f\xff\x51"  # markers of the code stream and of its SIZ segment
JP2_SIZE = struct.Struct(">36xHB")  # after the markers: channels, and bits of the first minus 1, with the sign bit
AV1_CONFIGURATION = b"av1C"
AV1_BITS = {0x40: 10, 0x60: 12}  # flags of its third byte
PNM_HEADER = re.compile(rb"P[2356]" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")
JP2_WAVELET = b"\xff\x52"  # marker of the COD segment


@contextmanager
def quiet(path: Path, kind: str) -> Iterator[None]:
    """Context of `Decoding` that hides the warnings of the library."""
    with Decoding(path, kind), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_with_pillow(data: bytes, path: Path, kind: str, per_byte: float | None = None) -> Image.Image:
    """Image in a file, loaded; the first one of an animation.

    Args:
        data: content of the file.
        path: of the file, for messages.
        kind: name of the format, one of `PLUGINS`.
        per_byte: most pixels that a byte can hold, as in `check_size`.

    Raises:
        UnreadableImageError: it is damaged, its size is not accepted, or Pillow was built without its format.
    """
    if kind in FEATURES and not features.check(FEATURES[kind]):
        raise UnreadableImageError(f"{path} is {kind}, which this Pillow cannot read. `pip install --upgrade pillow`.")
    with quiet(path, kind):
        image = PLUGINS[kind](BytesIO(data))
    check_size(path, kind, image.height, image.width, len(data), per_byte)
    with quiet(path, kind):
        image.load()
    return image


def open_heif(data: bytes, path: Path) -> Image.Image:
    """Image in a HEIC file, upright.

    Raises:
        UnreadableImageError: pillow-heif is not installed, or cannot read it.
        ImageDepthError: its values have more than 8 bits.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise UnreadableImageError(
            f"{path} is a HEIC photo; `pip install pillow-heif` to read such, or export it as JPEG."
        ) from error
    try:
        file = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
        check_size(path, "HEIC", file.size[1], file.size[0], len(data))
        if (bits := file.info["bit_depth"]) > 8:
            raise wrong_depth(path, f"values of {bits} bits")
        return file.to_pillow()
    except (UnreadableImageError, ImageDepthError):
        raise
    except Exception as error:  # damaged files make libraries raise almost anything
        raise UnreadableImageError(f"{path} is a HEIC photo that pillow-heif cannot read: {error}") from error


def declared_bits(data: bytes, path: Path, kind: str) -> int:
    """Bits of a value by the header; Pillow may reduce them to 8.

    Raises:
        UnreadableImageError: a damaged JPEG 2000 or PNM, or a JPEG 2000 with more than 4 bands or with signed values.
    """
    if kind == "AVIF":
        at = data.find(AV1_CONFIGURATION)
        return AV1_BITS.get(data[at + 6] & 0x60, 8) if 0 <= at < len(data) - 6 else 8
    if kind == "PNM":
        with Decoding(path, kind):
            return 1 if data[1] in b"14" else pnm_header(data)[2].bit_length()
    if kind == "JPEG 2000":
        at = data.find(JP2_START) + len(JP2_START)
        if at < len(JP2_START) or at + JP2_SIZE.size > len(data):
            raise damaged(path, kind, "it ends before it tells its size")
        channels, bits = JP2_SIZE.unpack_from(data, at)
        if channels > 4:
            raise too_many_bands(path, kind, channels, f"{bits % 128 + 1} bits")
        if bits >= 128:
            raise unsupported(path, kind, "values with a sign")
        return bits + 1
    return 8


def pnm_header(data: bytes) -> tuple[int, int, int, int]:
    """Width, height and highest value of a PGM or PPM, and length of the header in bytes.

    Raises:
        ValueError: the header lacks them.
    """
    header = PNM_HEADER.match(data)
    if header is None:
        raise ValueError("a PGM or PPM begins with its width, its height and its highest value.")
    return int(header[1]), int(header[2]), int(header[3]), header.end()


def jpeg_2000_loses(data: bytes) -> bool:
    """Whether a JPEG 2000 is coded with the irreversible wavelet."""
    at = data.find(JP2_WAVELET, data.find(JP2_START) + len(JP2_START)) + 13
    return at < len(data) and data[at] != 1
