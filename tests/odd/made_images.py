"""Image files of many kinds, each with the pixels that were put in, and ways to damage them."""

import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image

ORIENTATION = 274


class Made(NamedTuple):
    """A file, and what it was made of.

    Attributes:
        kind: how it was made.
        data: its content.
        pixels: that were put in; None if what is right is only known of a decoder.
        orientation: that its EXIF data say.
    """

    kind: str
    data: bytes
    pixels: np.ndarray | None = None
    orientation: int = 1

    def __repr__(self) -> str:
        """Without the content."""
        return f"{self.kind}, {len(self.data)} bytes, orientation {self.orientation}"


def picture(source: random.Random, channels: int, levels: int = 256) -> np.ndarray:
    """Pixels of a random size, smooth or noise; uint8 (height, width, channels)."""
    height, width = (source.choice([1, 2, 7, 8, 16, 17, 33, 64]) for _ in range(2))
    generator = np.random.default_rng(source.randrange(1 << 30))
    if source.random() < 0.5:
        return generator.integers(0, levels, (height, width, channels), np.uint8)
    steps = np.arange(height * width).reshape(height, width, 1) // source.randint(1, 9)
    return ((steps + np.arange(channels) * source.randint(0, 90)) % levels).astype(np.uint8)


def save(pixels: np.ndarray | Image.Image, kind: str, orientation: int = 1, **options: object) -> bytes:
    """A file that Pillow writes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    if orientation != 1:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif.tobytes()
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def indexed(values: np.ndarray, colours: np.ndarray) -> Image.Image:
    """An image with a palette.

    Args:
        values: indices (height, width).
        colours: (count, 3).
    """
    image = Image.frombytes("P", values.shape[1::-1], values.tobytes())
    image.putpalette(colours.ravel().tolist())
    return image


def squeezed(pixels: np.ndarray) -> np.ndarray:
    """Pixels without an axis of one channel."""
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def grey_rgb(pixels: np.ndarray) -> np.ndarray:
    """Grey, grey with alpha, RGB or RGB with a fourth channel, as RGB."""
    return pixels[..., :1].repeat(3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]


def jpeg(source: random.Random) -> Made:
    """A JPEG; libjpeg says what is right."""
    orientation = source.randint(1, 8)
    options = {
        "quality": source.choice([1, 50, 90, 100]),
        "progressive": source.random() < 0.4,
        "optimize": source.random() < 0.3,
        "restart_marker_blocks": source.choice([0, 0, 3]),
    }
    mode = source.choice(["L", "RGB", "RGB", "RGB", "CMYK"])
    if mode == "RGB":
        options["subsampling"] = source.choice([0, 1, 2])
    image = Image.fromarray(picture(source, 3)).convert(mode)
    data = save(image, "JPEG", orientation, **options)
    if source.random() < 0.3:
        data = data[:2] + source.choice([b"\xff" * 5, b"\xff\xfe\0\x08noted", b"\xff\xe1\0\x0ahttp://x"]) + data[2:]
    return Made(f"JPEG {mode} {options}", data, None, orientation)


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(row: np.ndarray, bits: int) -> bytes:
    """A row of values of some bits each."""
    return np.packbits(np.unpackbits(row.reshape(-1, 1), axis=1)[:, 8 - bits :].ravel()).tobytes()


PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))  # Adam7


def png_of(values: np.ndarray, bits: int, kind: int, extra: bytes = b"", interlaced: bool = False) -> bytes:
    """A PNG of any kind, without filters.

    Args:
        values: (height, width, channels).
        bits: of a value.
        kind: of colour.
        extra: chunks before the pixels.
        interlaced: as Adam7 says.
    """
    height, width, _ = values.shape
    parts = [values[y::dy, x::dx] for y, dy, x, dx in PASSES] if interlaced else [values]
    rows = b"".join(b"\0" + packed(row, bits) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def exif_of(orientation: int) -> bytes:
    """EXIF data with an orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


def png(source: random.Random) -> Made:
    """A PNG of any kind of colour and up to 8 bits."""
    kind = source.choice([0, 2, 3, 4, 6])
    bits = source.choice([1, 2, 4, 8] if kind in (0, 3) else [8])
    values = picture(source, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind], 1 << bits)
    orientation, extra, rgb = source.randint(1, 8), b"", grey_rgb(values)
    if kind == 3:
        colours = np.random.default_rng(source.randrange(99)).integers(0, 256, (1 << bits, 3), np.uint8)
        extra, rgb = chunk(b"PLTE", colours.tobytes()), colours[values[..., 0]]
    elif bits < 8:
        rgb = rgb * (255 // ((1 << bits) - 1))
    if kind in (0, 2, 3) and source.random() < 0.4:
        extra += chunk(b"tRNS", {0: b"\0\1", 2: b"\0\1\0\2\0\3", 3: b"\0\x80"}[kind])
    extra += chunk(b"iCCP", b"odd\0\0not a profile") * (source.random() < 0.2)
    extra += chunk(b"eXIf", exif_of(orientation))
    interlaced = source.random() < 0.3
    return Made(f"PNG kind {kind} bits {bits}", png_of(values, bits, kind, extra, interlaced), rgb, orientation)


def filtered_png(source: random.Random) -> Made:
    """A PNG with filters, or an animated one of which the first picture may stand apart."""
    pixels = picture(source, source.choice([1, 3, 4]))
    image = Image.fromarray(squeezed(pixels))
    if source.random() < 0.5:
        return Made("PNG", save(image, "PNG", optimize=source.random() < 0.5), grey_rgb(pixels))
    others = [Image.fromarray(squeezed(pixels[::-1].copy())), Image.fromarray(squeezed(pixels[:, ::-1].copy()))]
    data = save(image, "PNG", save_all=True, append_images=others, default_image=source.random() < 0.5)
    return Made("APNG", data, grey_rgb(pixels))


def webp(source: random.Random) -> Made:
    """A WebP, with losses or without, still or animated."""
    pixels, orientation = picture(source, source.choice([3, 4])), source.randint(1, 8)
    options: dict[str, object] = {"lossless": source.random() < 0.5, "exact": True, "quality": 80}
    if source.random() < 0.25 and pixels.shape[2] == 3:
        options |= {"save_all": True, "append_images": [Image.fromarray(pixels[::-1].copy())]}
    data = save(pixels, "WEBP", orientation, **options)
    return Made(f"WebP {[*options]}", data, pixels[..., :3] if options["lossless"] else None, orientation)


def bmp_of(values: np.ndarray, bits: int, colours: np.ndarray, runs: bool = False, upper_first: bool = False) -> bytes:
    """A BMP.

    Args:
        values: (height, width, bytes), indices or bytes of a pixel.
        bits: of a pixel.
        colours: blue, green, red and nothing.
        runs: compress 8 bits by their runs.
        upper_first: keep the upper row first.
    """
    height, width = values.shape[:2]
    rows = values if upper_first else values[::-1]
    if runs:
        pixels = b"".join(b"".join(bytes((1, value)) for value in row.ravel()) + b"\0\0" for row in rows) + b"\0\1"
    else:
        lines = [packed(row, min(bits, 8)) for row in rows]
        pixels = b"".join(line + bytes(-len(line) % 4) for line in lines)
    start = 54 + colours.nbytes
    sizes = (40, width, -height if upper_first else height, 1, bits, int(runs), len(pixels), 0, 0, len(colours), 0)
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", start + len(pixels), 0, start, *sizes) + colours.tobytes() + pixels


def bmp(source: random.Random) -> Made:
    """A BMP of indices, of 24 or of 32 bits."""
    upper_first = source.random() < 0.3
    if source.random() < 0.5:
        bits = source.choice([24, 32])
        values = picture(source, bits // 8)
        none = np.zeros((0, 4), np.uint8)
        return Made(f"BMP {bits}", bmp_of(values, bits, none, upper_first=upper_first), values[..., 2::-1])
    bits = source.choice([1, 4, 8])
    values = picture(source, 1, 1 << bits)
    colours = palette_of(source, 1 << bits)
    runs = bits == 8 and source.random() < 0.3
    rgb = colours[:, 2::-1][values[..., 0]]
    return Made(f"BMP {bits} runs {runs}", bmp_of(values, bits, colours, runs, upper_first and not runs), rgb)


def palette_of(source: random.Random, count: int) -> np.ndarray:
    """Colours of a BMP: greys in order, spread, backwards, or any."""
    numbers = np.arange(count)
    greys = source.choice([numbers, numbers * 255 // max(count - 1, 1), 255 - numbers * 255 // max(count - 1, 1)])
    colours = np.stack([greys, greys, greys, greys * 0], axis=1).astype(np.uint8)
    if source.random() < 0.5:
        colours[:, :3] = np.random.default_rng(source.randrange(99)).integers(0, 256, (count, 3))
    return colours


def gif(source: random.Random) -> Made:
    """A GIF, still or animated, whose pixels have few colours."""
    values = picture(source, 1, source.choice([2, 7, 256]))[..., 0]
    colours = np.random.default_rng(source.randrange(99)).integers(0, 256, (256, 3), np.uint8)
    image = indexed(values, colours)
    options: dict[str, object] = {"interlace": source.choice([0, 1])}
    if source.random() < 0.3:
        options["transparency"] = int(values[0, 0])
    if source.random() < 0.3:
        options |= {"save_all": True, "append_images": [Image.new("RGB", image.size, (1, 2, 3))]}
    return Made("GIF", save(image, "GIF", **options), colours[values])


def jpeg_2000(source: random.Random) -> Made:
    """A JPEG 2000, without losses or with them."""
    pixels = picture(source, source.choice([1, 3, 4]))
    lossy = source.random() < 0.3
    data = save(squeezed(pixels), "JPEG2000", irreversible=lossy, no_jp2=source.random() < 0.3)
    return Made(f"JPEG 2000 lossy {lossy}", data, None if lossy else grey_rgb(pixels))


def avif(source: random.Random) -> Made:
    """An AVIF; Pillow says what is right."""
    orientation = source.randint(1, 8)
    data = save(picture(source, source.choice([3, 4])), "AVIF", orientation, speed=10, quality=source.choice([30, 90]))
    return Made("AVIF", data, None, orientation)


def pnm(source: random.Random) -> Made:
    """A PBM, PGM or PPM as text or as bytes, with notes in its header."""
    number, text = source.choice([1, 2, 3]), source.random() < 0.4
    maximum = 1 if number == 1 else source.choice([1, 7, 100, 255])
    values = picture(source, 3 if number == 3 else 1, maximum + 1)
    note = source.choice([b"", b"# a note 1 2\n"])
    size = b"%d %d\n" % values.shape[1::-1] + (b"" if number == 1 else note + b"%d\n" % maximum)
    stored = 1 - values if number == 1 else values
    body = b" ".join(b"%d" % value for value in stored.ravel().tolist()) + b"\n" if text else stored.tobytes()
    if number == 1 and not text:
        body = b"".join(packed(row, 1) for row in stored)
    rgb = (grey_rgb(values) / maximum * 255).round().astype(np.uint8)
    return Made(f"PNM {number} text {text} {maximum}", b"P%d\n" % (number + 3 * (not text)) + note + size + body, rgb)


def tga(source: random.Random) -> Made:
    """A TGA."""
    if source.random() < 0.3:
        made = gif(source)
        image = Image.open(BytesIO(made.data))
        return Made("TGA palette", save(image, "TGA"), made.pixels)
    pixels = picture(source, source.choice([1, 3, 4]))
    compression = source.choice([None, "tga_rle"])
    return Made(f"TGA {compression}", save(squeezed(pixels), "TGA", compression=compression), grey_rgb(pixels))


PLAIN = ["none", "lzw", "zlib", "packbits", "zstd", "lzma"]
COMPRESSIONS: dict[str, dict[str, object]] = {
    "none": {},
    **{name: {"compression": name} for name in PLAIN[1:]},
    **{f"{name} predictor": {"compression": name, "predictor": 2} for name in ("lzw", "zlib", "zstd")},
}


def tiff(source: random.Random) -> Made:
    """A TIFF of tifffile's, of grey, RGB, CMYK, a palette or more bands."""
    kind = source.choice(["minisblack", "miniswhite", "rgb", "rgb", "rgb", "separated", "palette"])
    channels = {"minisblack": [1, 2, 3, 4], "miniswhite": [1], "rgb": [3, 4, 4], "separated": [4], "palette": [1]}
    values = picture(source, source.choice(channels[kind]))
    name, orientation = source.choice([*COMPRESSIONS]), source.randint(1, 8)
    options: dict[str, object] = dict(COMPRESSIONS[name])
    if source.random() < 0.4:
        options["tile"] = (16 * source.randint(1, 3), 16 * source.randint(1, 3))
    else:
        options["rowsperstrip"] = source.choice([1, 5, 64])
    planar = values.shape[2] > 1 and source.random() < 0.3
    extra = values.shape[2] - {"rgb": 3, "separated": 4}.get(kind, 1)
    if extra > 0:
        options["extrasamples"] = [source.choice([0, 1, 2])] * extra
    rgb = tiff_colours(values, kind)
    if kind == "palette":
        colours = np.random.default_rng(source.randrange(99)).integers(0, 65536, (3, 256), np.uint16)
        options["colormap"], rgb = colours, (colours >> 8).T[values[..., 0]].astype(np.uint8)
    stored = np.moveaxis(values, -1, 0) if planar else squeezed(values)
    data = tiff_of(
        source, stored, orientation, photometric=kind, planarconfig=["contig", "separate"][planar], **options
    )
    return Made(f"TIFF {kind} {values.shape[2]} {name} planar {planar} {sorted(options)}", data, rgb, orientation)


def tiff_of(source: random.Random, stored: np.ndarray, orientation: int, **options: object) -> bytes:
    """A TIFF of either byte order, with 32 or 64 bits, and maybe a second page."""
    buffer = BytesIO()
    tags = [(ORIENTATION, "H", 1, orientation, True)]
    with tifffile.TiffWriter(buffer, bigtiff=source.random() < 0.3, byteorder=source.choice(["<", ">"])) as file:
        file.write(stored, extratags=tags, metadata=None, **options)
        if source.random() < 0.2:
            file.write(stored[::-1].copy(), metadata=None, **options)
    return buffer.getvalue()


def tiff_colours(values: np.ndarray, kind: str) -> np.ndarray:
    """RGB of values in a TIFF."""
    if kind == "separated":
        return np.asarray(Image.frombuffer("CMYK", values.shape[1::-1], values.tobytes()).convert("RGB"))
    return grey_rgb(255 - values if kind == "miniswhite" and values.shape[2] < 3 else values)


def packed_tiff(
    values: np.ndarray, bits: int, kind: int, order: str = "<", colours: np.ndarray | None = None, reverse: bool = False
) -> bytes:
    """A TIFF of one strip whose values have few bits.

    Args:
        values: (height, width, 1).
        bits: of a value.
        kind: photometric interpretation.
        order: of bytes.
        colours: 16 bits (3, 2 ** bits), of a palette.
        reverse: keep the first pixel in the lowest bit of a byte.
    """
    height, width, _ = values.shape
    strip = b"".join(packed(row, bits) for row in values)
    if reverse:
        strip = bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip)
    palette = b"" if colours is None else colours.astype(f"{order}u2").tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: kind, 266: 1 + reverse, 273: 8, 277: 1, 278: height}
    entries = [(tag, 4, 1, value) for tag, value in (tags | {279: len(strip)}).items()]
    if palette:
        entries.append((320, 3, len(palette) // 2, 8 + len(strip)))
    start = 8 + len(strip) + len(palette)
    directory = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    return head + strip + palette + struct.pack(f"{order}H", len(entries)) + directory + bytes(4)


def few_bits_tiff(source: random.Random) -> Made:
    """A TIFF of 1, 2 or 4 bits."""
    bits, kind, reverse = source.choice([1, 2, 4, 8]), source.choice([0, 1, 3]), source.random() < 0.3
    values = picture(source, 1, 1 << bits)
    rgb = grey_rgb(values) * (255 // ((1 << bits) - 1))
    rgb, colours = 255 - rgb if kind == 0 else rgb, None
    if kind == 3:
        colours = np.random.default_rng(source.randrange(99)).integers(0, 65536, (3, 1 << bits), np.uint16)
        rgb = (colours >> 8).T[values[..., 0]].astype(np.uint8)
    data = packed_tiff(values, bits, kind, source.choice("<>"), colours, reverse)
    return Made(f"TIFF {bits} bits kind {kind} reverse {reverse}", data, rgb)


def pillow_tiff(source: random.Random) -> Made:
    """A TIFF of Pillow's, of one bit, faxed, of YCbCr or of JPEG."""
    orientation = source.randint(1, 8)
    way = source.choice(["bits", "YCbCr", "jpeg"])
    if way == "bits":
        values = picture(source, 1, 2)
        compression = source.choice([None, "group3", "group4", "tiff_lzw", "packbits", "tiff_adobe_deflate"])
        image = Image.fromarray(values[..., 0].astype(bool))
        data = save(image, "TIFF", orientation, compression=compression)
        return Made(f"TIFF 1 bit {compression}", data, grey_rgb(values) * 255, orientation)
    image = Image.fromarray(picture(source, 3))
    if way == "YCbCr":
        data = save(image.convert("YCbCr"), "TIFF", orientation, compression=source.choice([None, "tiff_lzw"]))
    else:
        image = image.convert(source.choice(["L", "RGB"]))
        data = save(image, "TIFF", orientation, compression="jpeg", quality=source.choice([50, 95]))
    return Made(f"TIFF {way}", data, None, orientation)


MAKERS: tuple[Callable[[random.Random], Made], ...] = (
    *(jpeg, png, filtered_png, webp, bmp, gif, jpeg_2000, avif, pnm, tga, tiff, tiff, tiff, pillow_tiff, few_bits_tiff),
)


def deep(source: random.Random) -> Made:
    """An image of another number of bits than 8."""
    pixels = np.random.default_rng(source.randrange(99)).integers(256, 1023, (9, 8, 3), np.uint16)
    grey = pixels[..., 0].copy()
    data = {
        "PNG": lambda: cv2.imencode(".png", source.choice([grey, pixels]))[1].tobytes(),
        "JPEG": lambda: imagecodecs.jpeg8_encode(pixels, bitspersample=12),
        "JPEG 2000": lambda: imagecodecs.jpeg2k_encode(source.choice([grey, pixels])),
        "AVIF": lambda: imagecodecs.avif_encode(pixels, bitspersample=source.choice([10, 12])),
        "PNM": lambda: b"P5 8 9 1023\n" + grey.astype(">u2").tobytes(),
        "PPM": lambda: b"P6 8 9 1023\n" + pixels.astype(">u2").tobytes(),
        "PFM": lambda: b"Pf\n8 9\n-1.0\n" + grey.astype(np.float32).tobytes(),
        "HDR": lambda: cv2.imencode(".hdr", pixels.astype(np.float32))[1].tobytes(),
        "TIFF": lambda: tiff_of(source, grey.astype(source.choice(["u2", "f4", "f8", "i2", "u4", "f2", "i1"])), 1),
        "TIFF RGB": lambda: tiff_of(source, pixels, 1, photometric="rgb"),
    }
    kind = source.choice([*data])
    return Made(f"deep {kind}", data[kind]())


def damage(source: random.Random, data: bytes) -> tuple[str, bytes]:
    """How a file was damaged, and what it became."""
    way = source.choice(["cut", "flip", "flip", "flip early", "zeros", "insert", "remove", "tail", "sizes"])
    at, content = source.randrange(len(data)), bytearray(data)
    if way == "cut":
        return way, data[:at]
    if way == "zeros":
        return way, data[:at] + bytes(len(data) - at)
    if way == "insert":
        return way, data[:at] + source.randbytes(source.randint(1, 9)) + data[at:]
    if way == "remove":
        return way, data[:at] + data[at + source.randint(1, 9) :]
    if way == "tail":
        return way, data + source.randbytes(40)
    if way == "sizes":  # numbers become huge
        at = source.randrange(min(len(data), 200))
        content[at : at + 4] = source.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\x80\0", b"\0\0\0\0"])
        return way, bytes(content)
    for _ in range(source.choice([1, 1, 3])):
        content[source.randrange(min(len(data), 120) if way == "flip early" else len(data))] ^= 1 << source.randrange(8)
    return way, bytes(content)
