"""Normalised targets against the published definition."""

import pytest
import torch

from swinv2.simmim.targets import local_statistics


def published(image, size):
    """The neighbourhood of each pixel, one by one: its mean, and its variance with Bessel's correction."""
    half = size // 2
    result = torch.empty_like(image)
    for channel, plane in enumerate(image):
        for y in range(plane.shape[0]):
            for x in range(plane.shape[1]):
                near = plane[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
                variance = near.var(unbiased=True) if near.numel() > 1 else torch.tensor(0.0, dtype=image.dtype)
                result[channel, y, x] = (plane[y, x] - near.mean()) / (variance + 1e-6).sqrt()
    return result


@pytest.mark.parametrize(("size", "shape"), [(47, (3, 64, 60)), (3, (3, 8, 12)), (5, (1, 3, 4)), (47, (2, 20, 16))])
def test_target_is_the_published_one(size, shape):
    """Mean and deviation of what lies within the image, also where the neighbourhood is larger than it."""
    image = torch.randn(shape, dtype=torch.float64)
    mean, deviation = local_statistics(image[None], size)
    torch.testing.assert_close((image - mean[0]) / deviation[0], published(image, size), rtol=1e-8, atol=1e-8)


def test_pooling_gives_the_same():
    """The authors pool over squares; rows and then columns are the same but for rounding."""
    image = torch.randn(2, 3, 96, 96)
    squares = {"kernel_size": 47, "stride": 1, "padding": 23}
    mean = torch.nn.functional.avg_pool2d(image, **squares, count_include_pad=False)
    square_mean = torch.nn.functional.avg_pool2d(image**2, **squares, count_include_pad=False)
    count = torch.nn.functional.avg_pool2d(torch.ones_like(image), **squares) * 47**2
    variance = ((square_mean - mean**2) * count / (count - 1)).clamp(min=0)
    found = local_statistics(image, 47)
    torch.testing.assert_close(found[0], mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], (variance + 1e-6) ** 0.5, rtol=1e-4, atol=1e-5)


def test_flat_image():
    """Where nothing varies the deviation is the least, not the root of a negative number."""
    mean, deviation = local_statistics(torch.full((1, 3, 64, 64), 2.2), 47)
    assert deviation.isfinite().all()
    assert ((torch.full((1, 3, 64, 64), 2.2) - mean) / deviation).abs().max() < 0.01
    assert deviation.min() >= 1e-3 * (1 - 1e-6)
