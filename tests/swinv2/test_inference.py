"""Models that are prepared to be evaluated."""

import copy
import mmap
import os
import platform
import subprocess
import sys
import textwrap

import pytest
import torch

import swinv2
from swinv2 import optimize_for_inference

IMAGES = torch.randn(1, 3, 72, 100, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def backbone():
    """With weights of some size."""
    torch.manual_seed(0)
    made = swinv2.create_backbone(
        "swinv2_tiny_window8_256", embed_dim=16, depths=[2, 2], num_heads=[1, 2], out_indices=[0, 1]
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def assert_same(found, wanted, tolerance=1e-4):
    """Features to float32's accuracy, or better."""
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def test_prepared_backbone_gives_the_same_features(backbone):
    """All of a model, in or out of inference mode."""
    wanted = backbone(IMAGES)
    assert optimize_for_inference(backbone) is backbone
    assert_same(backbone(IMAGES), wanted)
    with torch.inference_mode():
        assert_same(backbone(IMAGES), wanted)


def doubled(weight):
    """Written to in place."""
    weight.mul_(2)


def replaced(weight):
    """Other memory."""
    weight.data = weight * 2


@torch.no_grad()
@pytest.mark.parametrize("change", [doubled, replaced])
@pytest.mark.parametrize(
    "name", ["q_bias", "v_bias", "logit_scale", "cpb_mlp.0.weight", "cpb_mlp.0.bias", "cpb_mlp.2.weight"]
)
def test_weights_that_change_after_it_are_used(backbone, name, change):
    """What was computed from them ahead is left, in the model and in its copies."""
    images, other = IMAGES.double(), copy.deepcopy(backbone.double())
    optimize_for_inference(backbone)
    before = backbone(images)
    for model in (backbone, other):
        change(model.get_parameter(f"layers.0.blocks.1.attn.{name}"))
    wanted = other(images)
    assert (before[0] - wanted[0]).abs().max() > 1e-6
    assert_same(backbone(images), wanted, 1e-10)
    assert_same(copy.deepcopy(backbone)(images), wanted, 1e-10)


@torch.no_grad()
def test_copies_are_not_prepared(backbone):
    """So that theirs may be written to by `weight.data`, as averages of weights are."""
    other = copy.deepcopy(backbone)
    average = copy.deepcopy(optimize_for_inference(backbone))
    average(IMAGES)
    for model in (average, other):
        for parameter in model.parameters():
            parameter.data.mul_(0.9)
    assert_same(average(IMAGES), other(IMAGES))


def test_a_prepared_model_trains(backbone):
    """Gradients are those of the weights as they are, and a step counts."""
    other = copy.deepcopy(backbone).train()
    optimize_for_inference(backbone)
    with torch.no_grad():
        backbone(IMAGES)
    for model in (backbone.train(), other):
        sum(features.square().mean() for features in model(IMAGES)).backward()
        torch.optim.SGD(model.parameters(), 0.1).step()
    for one, two in zip(backbone.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        assert_same(backbone.eval()(IMAGES), other.eval()(IMAGES))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than the one that this is about")
@pytest.mark.parametrize("prepare", [True, False])
def test_freed_memory_is_kept_for_the_next_image(prepare):
    """Pages of freed tensors are used again, rather than given back and cleared anew for each image."""
    script = f"""
        import resource, torch
        from torch import nn
        from swinv2 import optimize_for_inference
        if {prepare}:
            optimize_for_inference(nn.Identity())
        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            kept = [torch.ones(5 * 2**20, dtype=torch.uint8) for _ in range(10)]
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        print([faults() for _ in range(4)][-1])
    """
    at_first = {} if prepare else {"MALLOC_MMAP_THRESHOLD_": str(2**17)}  # stays so: no block that was freed raises it
    command = [sys.executable, "-c", textwrap.dedent(script)]
    run = subprocess.run(command, env=os.environ | at_first, capture_output=True, text=True, check=True)
    pages = 50 * 2**20 // mmap.PAGESIZE
    assert int(run.stdout) < pages / 10 if prepare else int(run.stdout) > pages / 2
