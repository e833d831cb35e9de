"""Box coder with torchvision's as the reference."""

import torch
from torchvision.models.detection import _utils

from detection.detectors.box_coder import BoxCoder


def boxes(number):
    """Random boxes."""
    corners = 50 * torch.rand(number, 2)
    return torch.cat([corners, corners + 1 + 30 * torch.rand(number, 2)], 1)


def test_equal_to_torchvision():
    """Offsets, and boxes that offsets lead to, one or several a box, are the same bits."""
    own, theirs = BoxCoder((10.0, 10.0, 5.0, 5.0)), _utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
    one, other = boxes(20), boxes(20)
    assert torch.equal(own.encode_single(one, other), theirs.encode_single(one, other))
    for number in (1, 3):
        offsets = 20 * torch.randn(20, 4 * number)
        assert torch.equal(own.decode_single(offsets, one), theirs.decode_single(offsets, one))


def test_nothing_is_copied_to_a_gpu(gpu):
    """Neither way waits."""
    coder, some = BoxCoder((1.0, 1.0, 1.0, 1.0)), boxes(3).to("cuda", non_blocking=True)
    coder.decode_single(coder.encode_single(some, some), some)
    assert not gpu.waits and not gpu.copies
