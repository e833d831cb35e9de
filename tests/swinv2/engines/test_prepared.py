"""Models that are prepared to be evaluated."""

import copy
import mmap
import os
import platform
import subprocess
import sys
import textwrap
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import swinv2
from swinv2 import explain, optimize_for_inference, use_engine
from swinv2.layers import StochasticDepth

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


def prepared(backbone, images=IMAGES):
    """Which blocks are evaluated by what was computed ahead."""
    dtype = next(backbone.parameters()).dtype
    return [line.endswith("cpu, prepared") for line in explain(backbone, images.to(dtype)).splitlines()]


@torch.no_grad()
def test_what_is_prepared_is_used(backbone):
    """As long as gradients are off and nobody looks on; calling `eval` again does not matter."""
    assert prepared(backbone) == [False] * 4
    optimize_for_inference(backbone)
    assert prepared(backbone.eval()) == [True] * 4
    with torch.enable_grad():
        assert prepared(backbone) == [False] * 4
    assert prepared(copy.deepcopy(backbone)) == [False] * 4
    handle = backbone.layers[0].blocks[0].mlp.fc1.register_forward_hook(lambda layer, given, out: out)
    assert prepared(backbone) == [False, True, True, True]
    handle.remove()
    assert prepared(backbone) == [False, True, True, True]  # forgotten
    assert prepared(backbone.train()) == [False] * 4


@torch.no_grad()
def test_prepared_backbone_follows_what_is_set_later(backbone):
    """Sizes of images and of windows, now and in the training."""
    other = copy.deepcopy(backbone)
    optimize_for_inference(backbone)
    for window, trained in ((8, 8), (4, 8), (4, 6), (16, 6)):
        for model in (backbone, other):
            model.set_window_size(window)
            model.set_pretrained_window_sizes(trained)
        for images in (IMAGES, IMAGES[..., :60], IMAGES.expand(3, -1, -1, -1), IMAGES):
            assert_same(backbone(images), other(images))
            assert prepared(backbone) == [True] * 4


def test_threads_may_share_a_prepared_model(backbone):
    """With images of different sizes at the same time."""
    optimize_for_inference(backbone)
    sizes = [(72, 100), (60, 60), (96, 40)]

    @torch.no_grad()
    def features(size):
        generator = torch.Generator().manual_seed(size[0])
        return backbone(torch.randn(1, 3, *size, generator=generator))

    wanted = {size: features(size) for size in sizes}
    with ThreadPoolExecutor(3) as threads:
        for size, found in zip(sizes * 20, threads.map(features, sizes * 20), strict=True):
            assert_same(found, wanted[size])


@torch.inference_mode()
def test_weights_made_in_inference_mode_may_be_prepared():
    """PyTorch counts no versions of them."""
    torch.manual_seed(0)
    backbone = use_engine(
        swinv2.SwinTransformerV2(embed_dim=16, depths=[2], num_heads=[2], out_indices=[0]).eval(), "auto"
    )
    wanted = backbone(IMAGES)
    assert_same(optimize_for_inference(backbone)(IMAGES), wanted)


@torch.no_grad()
def test_what_was_packed_is_let_go_when_weights_change(backbone):
    """With the weights that it came from: together they take twice the memory of the model."""
    optimize_for_inference(backbone)
    before = [weakref.ref(weight) for stage in backbone.stages for weight in stage.parameters()]
    backbone.load_state_dict(copy.deepcopy(backbone.state_dict()), assign=True)
    backbone(IMAGES)
    backbone(IMAGES)
    assert [weight() for weight in before] == [None] * len(before)


class Halved(StochasticDepth):
    """One that does something in evaluation."""

    def forward(self, x):
        """Half of it."""
        return x / 2


def fewer_blocks(backbone):
    """The last of them are gone."""
    backbone.layers[1].blocks = backbone.layers[1].blocks[:1]


def other_branch(backbone):
    """A layer of another kind in place of one without weights."""
    backbone.layers[1].blocks[1].drop_path = Halved(0.0)


def other_end(backbone):
    """The same for what ends a block."""
    backbone.layers[1].blocks[1].enorm = torch.nn.Tanh()


def other_eps(backbone):
    """A number that is no weight."""
    backbone.layers[1].blocks[1].norm2.eps = 0.5


def other_data(backbone):
    """Written to without PyTorch counting it, and packed again as its documentation asks for."""
    layer = backbone.layers[1].blocks[1].mlp.fc1
    layer.weight.data.mul_(2)
    optimize_for_inference(backbone)


@torch.no_grad()
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("change", [fewer_blocks, other_branch, other_end, other_eps, other_data])
def test_what_else_is_changed_is_used(backbone, change, first):
    """Before the model is prepared or after."""
    other = copy.deepcopy(backbone)
    unchanged = other(IMAGES)
    change(other)
    for step in (change, optimize_for_inference) if first else (optimize_for_inference, change):
        step(backbone)
    wanted = other(IMAGES)
    assert (wanted[1] - unchanged[1]).abs().max() > 1e-2
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
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_weights_that_change_after_it_are_used(backbone, name, change, dtype, tolerance):
    """What was computed from them ahead is left, in the model and in its copies."""
    images, other = IMAGES.to(dtype), copy.deepcopy(backbone.to(dtype))
    optimize_for_inference(backbone)
    before = backbone(images)
    for model in (backbone, other):
        change(model.get_parameter(f"layers.0.blocks.1.attn.{name}"))
    wanted = other(images)
    assert (before[0] - wanted[0]).abs().max() > 10 * tolerance
    assert_same(backbone(images), wanted, tolerance)
    assert_same(copy.deepcopy(backbone)(images), wanted, tolerance)


@torch.no_grad()
@pytest.mark.parametrize("change", [doubled, replaced])
@pytest.mark.parametrize("layer", ["attn.qkv", "attn.proj", "norm1", "mlp.fc1", "mlp.fc2", "norm2"])
def test_layers_that_change_after_it_are_used(backbone, layer, change):
    """Their weight and their bias, and a layer of the same kind put in a layer's place."""
    before = optimize_for_inference(backbone)(IMAGES)
    for name in ("weight", "bias"):
        other = copy.deepcopy(backbone)
        for model in (backbone, other):
            parameter = getattr(model.get_submodule(f"layers.0.blocks.1.{layer}"), name)
            if parameter is not None:  # queries, keys and values have their bias elsewhere
                change(parameter)
        wanted = other(IMAGES)
        assert parameter is None or (before[0] - wanted[0]).abs().max() > 1e-2
        assert_same(backbone(IMAGES), wanted)
        before = optimize_for_inference(backbone)(IMAGES)
    new = copy.deepcopy(backbone.layers[0].blocks[0].get_submodule(layer))
    for model in (backbone, other):
        model.set_submodule(f"layers.0.blocks.1.{layer}", new)
    assert_same(backbone(IMAGES), other(IMAGES))


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
        import resource, torch, swinv2
        from swinv2.engines import optimize_for_inference
        if {prepare}:
            optimize_for_inference(swinv2.create_backbone("swinv2_tiny_window8_256", embed_dim=24))
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
