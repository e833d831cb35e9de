"""Formats by content."""

from pathlib import Path

import pytest

from swinv2.imaging.decoding.formats import floating_format, format_of, no_image

FILE = Path("photos/a.jpg")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!doctype html><html>log in</html>", r"no image but a web page \(HTML\).*Download the file again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", r"a git-lfs pointer .*`git lfs pull`"),
        (b"%PDF-1.4\n", r"a PDF\. Export it"),
        (b"PK\3\4rest", r"a ZIP archive\. Unpack it"),
        (bytes(257) + b"ustar\0", r"an archive\. Unpack it"),
        (b"II*\0\x10\0\0\0CR\2\0", r"a raw photo of a camera\. Develop it"),
        (bytes(128) + b"DICM", r"a DICOM file\. Convert it to 8 bits"),
        (b"8BPS\0\1", r"a Photoshop document\. Export it"),
        (b'<?xml version="1.0"?>\n<svg>', r"an SVG drawing\. Export it"),
        (b"\0\0\0\x18ftypisom", r"a video\. .*swinv2 video"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", r"what macOS notes about a file .*Delete it"),
        (bytes(500), r"zeros only, as an unfinished copy leaves them"),
        (b"404: Not\nFound", r"no image but a text: '404: Not Found'"),
        (b"", r"is empty, it has no bytes"),
        (bytes(range(256)), r"a\.jpg is cut short, damaged, or no image$"),
    ],
)
def test_no_image(content, message):
    """What is no image is told by its name, with what to do."""
    assert format_of(content) is None
    with pytest.raises(OSError, match=message):
        raise no_image(content, FILE)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIC"),
        (b"II*\0\x10\x20\0\0CR\2\0", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"P5\n# a note\n3 2 255\n", "PNM"),
        (b"P5 is a paper size", None),
        (b"BMW is a car, and no picture", None),
    ],
)
def test_format(content, name):
    """Formats that begin alike are told apart."""
    assert format_of(content) == name


def test_floating_formats():
    """Formats of floating-point numbers have names."""
    starts = (b"#?RADIANCE\n", b"\x76\x2f\x31\x01", b"Pf\n3 2\n", b"P5\n3 2\n")
    assert [floating_format(start) for start in starts] == ["Radiance HDR", "OpenEXR", "PFM", None]
