"""Pictures and numbers of classes as models take them."""

import pytest
import torch

from swinv2.imaging.normalize import IMAGENET_MEAN, IMAGENET_STD, check_images, check_num_classes, normalize

IMAGE = torch.zeros(3, 20, 30, dtype=torch.uint8)


def test_normalized_to_the_range_of_the_released_weights():
    """The mean becomes 0 and a standard deviation more becomes 1; bytes and floats come out the same."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    picture = (mean + torch.tensor([0.0, 1, 1]) * std)[:, None, None].expand(3, 5, 6)
    torch.testing.assert_close(normalize(picture, torch.float32)[:, 0, 0], torch.tensor([0.0, 1, 1]))
    grey = torch.full((2, 3, 4, 4), 128, dtype=torch.uint8)
    torch.testing.assert_close(normalize(grey, torch.float32), normalize(grey / 255, torch.float32))


@pytest.mark.parametrize("wrong", [None, 0])
def test_number_of_classes_must_be_known(wrong):
    """A recipe may leave it open, a model may not."""
    with pytest.raises(ValueError, match="num_classes must be at least 1"):
        check_num_classes(wrong)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, "got no images"),
        ([torch.zeros(20, 30)], ValueError, r"image 0 has shape \(20, 30\); give \(3, height, width\)"),
        ([IMAGE, torch.zeros(20, 30, 3)], ValueError, r"image 1 has shape \(20, 30, 3\)"),
        ([torch.zeros(3, 0, 30)], ValueError, r"image 0 has shape \(3, 0, 30\)"),
        ([torch.zeros(3, 20, 30, dtype=torch.int64)], TypeError, r"image 0 is of type torch.int64; give uint8"),
        (
            [torch.full((3, 20, 30), 255.0)],
            ValueError,
            "image 0 has floats up to 255; scale them to 0 to 1, or give uint8",
        ),
    ],
)
def test_wrong_images_are_errors(images, error, message):
    """Anything but RGB pictures, channels first, in bytes or 0 to 1, is refused."""
    with pytest.raises(error, match=message):
        check_images(images)


def test_nothing_waits_for_a_gpu(gpu):
    """Mean and deviation are made there, and what is in the images is not looked at."""
    images = torch.full((2, 3, 4, 4), 3.0, device="cuda")
    check_images(images.unbind())
    normalize(images, torch.bfloat16)
    assert not gpu.waits and not gpu.copies
