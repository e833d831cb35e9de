"""Formats of image files, recognized by their first bytes, never by their names."""

import re
from importlib.util import find_spec
from pathlib import Path

from .errors import UnreadableImageError

HEIF = (".heic", ".heif")
HAS_HEIF = find_spec("pillow_heif") is not None
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".avif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", *HEIF * HAS_HEIF),
)
RAW = (".cr2", ".cr3", ".nef", ".nrw", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw")
OTHER_PICTURES = (  # suffixes of pictures that are not searched for: a GIF replaces a lost photo, or is a video
    *RAW,
    *(".gif", ".psd", ".psb", ".xcf", ".svg", ".dcm", ".jxl", ".jxr", ".ico", ".icns", ".qoi", ".pcx"),
    *(".exr", ".hdr", ".pfm", ".dds", ".sgi", ".ras", ".fits", *HEIF * (not HAS_HEIF)),
)

START = 1024  # bytes that are checked for text
GIF = "GIF"
FORMATS = {  # name by the pattern of the first bytes
    rb"\xff\xd8\xff(?!\xf7|\xe8..SPIFF)": "JPEG",
    rb"\x89PNG\r\n\x1a\n(?!.{4}CgBI)": "PNG",
    rb"RIFF.{4}WEBP": "WebP",
    rb"(?:II[*+]\0|MM\0[*+])(?!\x10\0\0\0CR\x02\0)": "TIFF",
    rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0": "BMP",
    rb"GIF8[79]a": GIF,
    rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51": "JPEG 2000",
    rb".{4}ftyp(?:avi[fs]|(?:mif1|msf1|miaf).{4}(?:.{4}){0,8}?avi[fs])": "AVIF",
    rb".{4}ftyp(?:hei[cxms]|hev[cxms]|heif|mif1|msf1)": "HEIC",
    rb"P[1-6](?:\s*#[^\n]*\n)*\s*\d": "PNM",
    rb".(?:\0[\x02\x03\x0a\x0b]\0{5}|\x01[\x01\x09].{5}).{4}.{4}[\x08\x0f\x10\x18\x20][\0-\x3f]": "TGA",
}
FLOATING = {rb"\x76\x2f\x31\x01": "OpenEXR", rb"#\?(?:RADIANCE|RGBE)": "Radiance HDR", rb"P[Ff]\s": "PFM"}
DEVELOP = "Develop it with the program of the camera or with rawpy, and save it as JPEG."
EXPORT = "Export it as PNG or JPEG."
UNPACK = "Unpack it."
AGAIN = "Download the file again."
STRANGERS = {  # other files by pattern: description, and advice
    rb"\s*(?:<!--.{0,300}?-->\s*)*<(?:!doctype html|html|head|body)": ("a web page (HTML), e.g. of a login", AGAIN),
    rb"version https://git-lfs": ("a git-lfs pointer that stands for the file", "Fetch the files with `git lfs pull`."),
    rb"\s*(?:<[?!].{0,500}?>\s*)*<svg": ("an SVG drawing", EXPORT),
    rb"\s*<\?xml": ("an XML text, e.g. the error of a storage service", AGAIN),
    rb"%PDF": ("a PDF", EXPORT),
    rb"%!PS|\xc5\xd0\xd3\xc6": ("a PostScript drawing", EXPORT),
    rb"8BPS": ("a Photoshop document", EXPORT),
    rb"gimp xcf": ("a GIMP document", EXPORT),
    rb".{128}DICM": ("a DICOM file", "Convert it to 8 bits with its window, e.g. with pydicom, and save it as PNG."),
    rb"II\*\0.{4}CR|II(?:U\0|R[OS])|MMOR|FUJIFILMCCD|FOVb|.{4}ftypcrx ": ("a raw photo of a camera", DEVELOP),
    rb"PK\x03\x04": ("a ZIP archive", UNPACK),
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd|.{257}ustar": ("an archive", UNPACK),
    rb".{4}ftyp|.{4}moov|RIFF.{4}AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xb3\xba]|FLV\x01|OggS|0&\xb2u|G.{187}G.{187}G": (
        "a video",
        "Cut it into frames, or use `swinv2 video`.",
    ),
    rb"\xff\x0a|\0\0\0\x0cJXL ": ("a JPEG XL", EXPORT),
    rb"\xff\xd8\xff(?:\xf7|\xe8..SPIFF)": ("a JPEG-LS", EXPORT),
    rb"\x89PNG\r\n\x1a\n.{4}CgBI": ("a PNG as Xcode packs it into apps (CgBI)", "Take the original picture."),
    rb"DDS |qoif|icns|II\xbc|P7\n|\x59\xa6\x6a\x95|\x8a[MJ]NG|\x0a[\0\x02\x03\x05]\x01|\x01\xda[\0\x01]": (
        "a picture of a format that is not read here",
        EXPORT,
    ),
    rb"\0\0[\x01\x02]\0[\x01-\x40]\0": ("an icon", EXPORT),
    rb"\x93NUMPY|\x89HDF|SIMPLE  =|CDF[\x01\x02\x05]|\x5c\x01\0\0": (
        "an array of numbers (NumPy, HDF5, FITS, NetCDF or NIfTI)",
        "Save each image as PNG.",
    ),
    rb"\0\x05\x16[\0\x07]": ("what macOS notes about a file (AppleDouble)", "Delete it; the image is beside it."),
    rb"\0{64}\0*\Z": ("zeros only, as an unfinished copy leaves them", "Copy or download it again."),
}
TEXT = re.compile(r"[^\x00-\x08\x0e-\x1f\x7f\ufffd]{4,}")


def compiled(patterns: dict[bytes, str]) -> list[tuple[re.Pattern[bytes], str]]:
    """Compiled patterns, each with its name."""
    return [(re.compile(pattern, re.DOTALL), name) for pattern, name in patterns.items()]


KNOWN = compiled(FORMATS)
FLOATS = compiled(FLOATING)
OTHERS = [(re.compile(pattern, re.DOTALL | re.IGNORECASE), *text) for pattern, text in STRANGERS.items()]


def format_of(data: bytes) -> str | None:
    """Name of a file's format by its content, one of the values of `FORMATS`; None for anything else."""
    return next((name for pattern, name in KNOWN if pattern.match(data)), None)


def floating_format(data: bytes) -> str | None:
    """Name of a file's floating-point format by its content; None for anything else."""
    return next((name for pattern, name in FLOATS if pattern.match(data)), None)


def raw_photo(path: Path) -> UnreadableImageError:
    """Error for a camera's raw photo."""
    return UnreadableImageError(f"{path} is no image but a raw photo of a camera. {DEVELOP}")


def no_image(data: bytes, path: Path) -> UnreadableImageError:
    """Error for content of no known image format; it names what the file is instead, if that is recognized."""
    if not data:
        return UnreadableImageError(f"{path} is empty, it has no bytes. Copy or download it again.")
    for pattern, what, advice in OTHERS:
        if pattern.match(data):
            return UnreadableImageError(f"{path} is no image but {what}. {advice}")
    text = data[:START].decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    if TEXT.fullmatch(text.rstrip("\ufffd")):
        return UnreadableImageError(f"{path} is no image but a text: {' '.join(text.split())[:60]!r}. {AGAIN}")
    return UnreadableImageError(f"{path} is cut short, damaged, or no image")
