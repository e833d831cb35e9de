"""Image files."""

import logging
import os
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detection.data.transforms import eval_transform
from swinv2.imaging.datasets import ImageFiles, NamedImages, Skipped, check_readable
from swinv2.imaging.reading import UnreadableImageError, read_image

ROTATED = (  # EXIF with orientation 6: the stored picture lies on its side
    b"\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
)


@pytest.fixture
def picture(tmp_path):
    """A JPEG of 20 × 30 pixels, red on the left and blue on the right."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15, 2], pixels[:, 15:, 0] = 255, 255
    path = tmp_path / "picture.jpg"
    cv2.imwrite(str(path), pixels)
    return path


def test_read_rgb(picture):
    """Channels are red, green, blue, first of the axes, and of bytes."""
    image = read_image(picture)
    assert image.shape == (3, 20, 30)
    assert image.dtype == torch.uint8
    assert image[:, 10, 5].tolist() == pytest.approx([255, 0, 0], abs=3)


def test_grey_image_has_three_channels(tmp_path):
    """A grey picture comes as RGB like any other."""
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 5), 77, np.uint8))
    assert read_image(tmp_path / "grey.png").unique().tolist() == [77]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_sixteen_bits(tmp_path, suffix, shape):
    """Images of 16 bits, which OpenCV would darken, are refused with a way out, and are no damaged files."""
    cv2.imwrite(str(tmp_path / f"satellite{suffix}"), np.full(shape, 1800, np.uint16))
    with pytest.raises(ValueError, match=r"satellite\.\w+ has values of type uint16; .*8 bits.*percentiles"):
        read_image(tmp_path / f"satellite{suffix}")


@pytest.mark.parametrize(("size", "shape"), [(None, (30, 20)), ((30, 20), (30, 20)), ((20, 30), (20, 30))])
def test_orientation(picture, size, shape):
    """A picture stands upright, unless the annotations were made on it as it is stored."""
    data = picture.read_bytes()
    picture.write_bytes(data[:2] + ROTATED + data[2:])
    assert read_image(picture, size).shape[1:] == shape


def test_other_size_than_annotated(picture):
    """A picture that has the annotated size in neither orientation is refused."""
    with pytest.raises(UnreadableImageError, match=r"measures \(20, 30\) pixels .* says \(20, 31\)"):
        read_image(picture, (20, 31))


@pytest.mark.parametrize("part", [0.0, 0.6, 0.9])
def test_truncated_jpeg(picture, part):
    """A JPEG that ends too early is refused, not filled up with grey."""
    data = picture.read_bytes()
    picture.write_bytes(data[: int(part * len(data))])
    with pytest.raises(UnreadableImageError, match=r"is empty|is cut short"):
        read_image(picture)


def test_no_image(tmp_path):
    """A text file, a folder and a missing file are refused with their names."""
    (tmp_path / "text.jpg").write_text("text")
    for path, message in ((tmp_path / "text.jpg", "no image"), (tmp_path, "cannot be opened")):
        with pytest.raises(UnreadableImageError, match=f"{path.name}.*{message}"):
            read_image(path)
    with pytest.raises(UnreadableImageError, match=r"gone\.jpg cannot be opened: No such file"):
        read_image(tmp_path / "gone.jpg")


def test_pipe(tmp_path):
    """A pipe is refused, as opening it would wait for its writer; so is a device."""
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(UnreadableImageError, match=r"(pipe\.jpg|zero) is a pipe, a socket or a device, .*; write"):
            read_image(path)


def test_file_that_is_too_large(tmp_path):
    """A file of more bytes than any image has that is taken is not read into memory."""
    path = tmp_path / "vast.jpg"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(UnreadableImageError, match=r"has 1,099,511,627,776 bytes, .*OPENCV_IO_MAX_IMAGE_PIXELS"):
        read_image(path)


@pytest.mark.parametrize("name", [b"Z\xfcrich.jpg", "Zu\u0308rich.jpg".encode(), "北京 图.jpg".encode()])
def test_names_of_the_world(picture, name):
    """A file is read whatever bytes its name has."""
    path = Path(os.fsdecode(os.fsencode(picture.parent) + b"/" + name))
    picture.rename(path)
    assert read_image(path).shape == (3, 20, 30)


def test_name_with_a_zero_byte():
    """A name that no file can have is an unreadable image, not a crash."""
    with pytest.raises(UnreadableImageError, match="cannot be opened"):
        read_image(Path("a\0.jpg"))


def test_content_counts_not_the_suffix(picture):
    """A PNG that is named as a JPEG is read as what it is."""
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    picture.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    assert torch.equal(read_image(picture), torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1))


def test_sample_is_read_before_a_run(picture):
    """Files that cannot be read are counted, and are an error if they are more than half."""
    bad = picture.parent / "bad.jpg"
    bad.write_text("<html>")
    for files, refused in (([picture, bad], False), ([picture, bad, bad], True)):
        skipped = Skipped(len(files))
        with pytest.raises(ValueError, match=r"2 of 3 photos .*bad\.jpg") if refused else nullcontext():
            check_readable(skipped, len(files), lambda index, files=files: read_image(files[index]), "photos")
        assert len(skipped) == len(files) - 1


def test_images_to_predict(picture):
    """A file comes resized, with its path and both sizes."""
    image, target = ImageFiles([picture], eval_transform(40, 100))[0]
    assert image.shape == (3, 40, 60)
    assert target == {"image_id": 1, "path": picture, "orig_size": (20, 30), "size": (40, 60)}


def test_unreadable_file_to_predict(picture, caplog):
    """An unreadable file gives nothing, and the log counts it."""
    (picture.parent / "bad.jpg").write_text("text")
    files = ImageFiles([picture.parent / "bad.jpg", picture], eval_transform(40, 100))
    with caplog.at_level(logging.WARNING):
        assert files[0] is None
    assert "Skipped an image, 1 of 2 so far" in caplog.text
    assert len(files.skipped) == 1


def test_image_of_sixteen_bits_to_predict(picture, caplog):
    """So does one that models cannot take."""
    cv2.imwrite(str(picture.parent / "satellite.png"), np.full((4, 5), 1800, np.uint16))
    assert ImageFiles([picture.parent / "satellite.png"], eval_transform(40, 100))[0] is None
    assert "Skipped an image, 1 of 1 so far" in caplog.text and "8 bits" in caplog.text


def test_named_images_to_predict(picture):
    """Images come with their names, resized by the transform at last; None for one that cannot be read."""
    (picture.parent / "bad.jpg").write_text("text")
    dataset = NamedImages({picture.parent / "bad.jpg": "bad", picture: "deep/c"}, eval_transform(40, 100))
    assert dataset[0] is None
    image, target = dataset[1]
    assert image.shape == (3, 40, 60)
    assert (target["image_id"], target["name"], target["path"]) == (2, "deep/c", picture)


def test_left_out_is_shared():
    """Worker processes write to the same flags, so that the count is of all of them, each image once."""
    skipped = Skipped(3)
    for position in (2, 2, 0):
        skipped.add(position, UnreadableImageError("damaged"))
    assert skipped._flags.is_shared()
    assert len(skipped) == 2
    assert 2 in skipped
    assert 1 not in skipped
