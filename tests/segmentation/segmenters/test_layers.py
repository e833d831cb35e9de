"""Convolutions over maps of several resolutions."""

import pytest
import torch
import torch.nn.functional as F

from segmentation.segmenters.layers import Fusion, convolve_enlarged, kept_enlargement

SIZES = [
    ((8, 8), (16, 16)),
    ((7, 9), (13, 18)),
    ((8, 4), (64, 32)),
    ((1, 1), (9, 5)),
    ((6, 6), (21, 32)),
    ((3, 5), (3, 5)),
]


@pytest.mark.parametrize(("coarse", "fine"), SIZES)
def test_mixing_before_enlarging_is_the_same(coarse, fine):
    """Enlarging and then convolving gives the same, for whole factors and others, borders included."""
    x, weight = torch.randn(2, 5, *coarse, dtype=torch.float64), torch.randn(4, 5, 3, 3, dtype=torch.float64)
    wanted = F.conv2d(F.interpolate(x, fine, mode="bilinear"), weight, padding=1)
    torch.testing.assert_close(convolve_enlarged(x, weight, fine, (0, fine[0])), wanted, rtol=1e-9, atol=1e-9)


def test_gradients_are_the_same():
    """Training sees the same function."""
    x, weight = torch.randn(1, 5, 4, 6, requires_grad=True), torch.randn(4, 5, 3, 3, requires_grad=True)
    plain = F.conv2d(F.interpolate(x, (9, 12), mode="bilinear"), weight, padding=1)
    ours = convolve_enlarged(x, weight, (9, 12), (0, 9))
    gradient = torch.randn_like(plain)
    for one, other in zip(*(torch.autograd.grad(y, (x, weight), gradient) for y in (plain, ours)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_fusion_is_convolution_of_joined_maps():
    """It equals joining the enlarged maps and convolving, with norm and ReLU, by the same weight."""
    fusion = Fusion([4, 6, 8], 5).eval()
    fusion.bn.running_mean.normal_()
    maps = [torch.randn(2, 4, 20, 14), torch.randn(2, 6, 10, 7), torch.randn(2, 8, 5, 4)]
    joined = torch.cat([F.interpolate(x, (20, 14), mode="bilinear") for x in maps], 1)
    torch.testing.assert_close(fusion(maps), F.relu(fusion.bn(fusion.conv(joined))), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [(0, 7), (7, 8), (5, 20)])
def test_fusion_of_some_rows(rows):
    """Rows asked for alone are those of the whole, at the borders and between."""
    fusion = Fusion([4, 6, 8], 5).eval()
    maps = [torch.randn(2, 4, 20, 14), torch.randn(2, 6, 10, 7), torch.randn(2, 8, 5, 4)]
    torch.testing.assert_close(fusion(maps, rows), fusion(maps)[:, :, slice(*rows)], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype):
    """Under autocast the result is as near as the type allows."""
    fusion = Fusion([4, 6], 5).eval()
    maps = [torch.randn(1, 4, 16, 16), torch.randn(1, 6, 8, 8)]
    with torch.autocast("cpu", dtype):
        half = fusion(maps)
    torch.testing.assert_close(half.float(), fusion(maps), rtol=0.05, atol=0.05)


def test_matrices_are_kept_for_training_and_evaluation():
    """Those of a size are made once, also if that was in inference, and afresh where tensors are transformed."""
    fusion, maps = Fusion([3, 2], 4).eval(), [torch.randn(2, 3, 10, 12), torch.randn(2, 2, 5, 6)]
    kept_enlargement.cache_clear()
    with torch.inference_mode():
        wanted = fusion(maps)
    made = kept_enlargement.cache_info().misses
    torch.testing.assert_close(fusion(maps), wanted)
    fusion(maps).sum().backward()
    torch.func.vmap(lambda one: convolve_enlarged(one, torch.ones(4, 2, 3, 3), (10, 12), (0, 10)))(maps[1][None])
    assert kept_enlargement.cache_info().misses == made == 2


def test_nothing_waits_for_a_gpu(gpu):
    """Neither the matrices nor anything else is copied."""
    fusion = Fusion([3, 2], 4).to("cuda")
    gpu.clear()
    fusion([torch.ones(2, 3, 4, 4, device="cuda"), torch.ones(2, 2, 2, 2, device="cuda")])
    assert not gpu.waits and not gpu.copies
