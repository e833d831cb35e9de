"""What image files of classes may be, in training and in validation."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

ROTATED = (  # EXIF with orientation 6: the stored picture lies on its side
    b"\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
)
HALVES = np.zeros((20, 30, 3), np.uint8)  # red on the left and blue on the right
HALVES[:, :15], HALVES[:, 15:] = (200, 30, 60), (10, 20, 220)


def pillow(pixels, kind, mode="RGB"):
    """An image file written by another library."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode == "RGB" else image.convert(mode)).save(file, kind, **{"quality": 95} if kind == "JPEG" else {})
    return file.getvalue()


def whole(data):
    """The validation image ant/a as it is in memory, not resized."""
    data.eval_transform = v2.Identity()
    data.setup("validate")
    return data.val_set[0][0]


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", cv2.imencode(".jpg", HALVES)[1].tobytes()[:-200], pillow(HALVES, "GIF")],
    ids=["empty", "text", "cut short", "placeholder GIF"],
)
def test_unreadable_image(photos, caplog, content, data_of):
    """What is no whole image is replaced by the next one in training, not scored, and counted in the log."""
    for split in ("train", "val"):
        photos.add(f"{split}/ant/b.jpg", content)
    data = data_of(photos.root, batch_size=4)
    data.setup("fit")
    ((_, labels),) = data.train_dataloader()
    assert sorted(labels.tolist()) == [0, 1, 1, 1]
    ((images, targets),) = data.val_dataloader()
    assert len(images) == len(targets) == 3
    assert caplog.text.count("Skipped an image, 1 of 4 so far") == 2


@pytest.mark.parametrize(("split", "what"), [("train", "training"), ("val", "validation")])
def test_unreadable_from_the_start(photos, data_of, split, what):
    """If more than half of the images cannot be read, training does not begin."""
    for name in ("ant/a", "ant/b", "bee/c"):
        photos.add(f"{split}/{name}.jpg", b"text")
    with pytest.raises(ValueError, match=rf"3 of 4 {what} images that were tried cannot be used, first: .*a\.jpg"):
        data_of(photos.root).setup("fit")


@pytest.mark.parametrize("split", ["train", "val"])
def test_class_that_loses_its_images(photos, data_of, caplog, split):
    """A class all of whose images cannot be read is named."""
    data = data_of(photos.root, batch_size=4)
    data.setup("fit")
    for name in ("a", "b"):
        photos.add(f"{split}/ant/{name}.jpg", b"text")
    next(iter(data.train_dataloader() if split == "train" else data.val_dataloader()))
    assert caplog.text.count("No image of the class of") == caplog.text.count("can be read: all 2 are left out") == 1


def test_nothing_readable(photos, data_of):
    """Training on no readable image ends with an error; in validation the batch is empty, of the same shape."""
    data = data_of(photos.root, batch_size=4)
    data.setup("fit")
    for split in ("train", "val"):
        for path in (photos.root / split).rglob("*.jpg"):
            path.write_bytes(b"text")
    with pytest.raises(OSError, match=r"None of the 4 images can be read, first .*a\.jpg"):
        next(iter(data.train_dataloader()))
    ((images, targets),) = data.val_dataloader()
    assert (images.shape, targets) == ((0, 3, 16, 16), [])


def test_cmyk(photos, data_of):
    """A JPEG in the colours of print is seen in those of the screen."""
    photos.add("val/ant/a.jpg", pillow(HALVES, "JPEG", "CMYK"))
    image = whole(data_of(photos.root))
    assert image.shape == (3, 20, 30)
    assert image[:, 5, 5].tolist() == pytest.approx([200, 30, 60], abs=6)
    assert image[:, 5, 25].tolist() == pytest.approx([10, 20, 220], abs=6)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P"])
def test_other_colours(photos, mode, data_of):
    """Grey, transparent and palette images come as RGB."""
    photos.add("val/ant/a.png", pillow(HALVES, "PNG", mode))
    (photos.root / "val/ant/a.jpg").unlink()
    image = whole(data_of(photos.root))
    expected = np.array(Image.fromarray(HALVES).convert("L" if mode[0] == "L" else "RGB").convert("RGB"))
    assert image.shape == (3, 20, 30)
    assert np.abs(image.permute(1, 2, 0).numpy() - expected.astype(int)).max() <= (60 if mode == "P" else 1)


def test_sixteen_bits(photos, caplog, data_of):
    """Images of 16 bits, which would come out almost black, are left out, counted, and the log has a way out."""
    for split in ("train", "val"):
        (photos.root / f"{split}/ant/a.jpg").unlink()
        photos.add(f"{split}/ant/a.png", cv2.imencode(".png", np.full((4, 5), 1800, np.uint16))[1].tobytes())
    data = data_of(photos.root, batch_size=4, images=str(photos.root / "val"))
    for stage in ("fit", "predict"):
        data.setup(stage)
    ((_, labels),) = data.train_dataloader()
    ((_, scored),), ((_, predicted),) = data.val_dataloader(), data.predict_dataloader()
    assert (sorted(labels.tolist()), len(scored), len(predicted)) == ([0, 0, 1, 1], 3, 3)
    assert caplog.text.count("Skipped an image, 1 of 4 so far") == 3
    assert caplog.text.count("a.png has values of type uint16; models take RGB of 8 bits") == 3
    assert "percentiles" in caplog.text


def test_orientation(photos, data_of):
    """A picture stands upright as its EXIF says."""
    encoded = pillow(HALVES, "JPEG")
    photos.add("val/ant/a.jpg", encoded[:2] + ROTATED + encoded[2:])
    image = whole(data_of(photos.root))
    assert image.shape == (3, 30, 20)
    assert image[0, 5, 10] > 150 > image[0, 25, 10]  # what lay on the left is at the top
