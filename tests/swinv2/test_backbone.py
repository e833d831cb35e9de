"""The backbone, for images, clips and other grids."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from swinv2 import SwinTransformerV2, backbone, create_backbone, load_weights

TINY = {"embed_dim": 8, "depths": (2, 2), "num_heads": (1, 2), "out_indices": (0, 1)}


def build(**options):
    """A small backbone whose every weight matters."""
    model = SwinTransformerV2(**{**TINY, "window_size": 4, **options}).double().eval()
    for name, parameter in model.named_parameters():
        if "logit_scale" not in name:
            nn.init.normal_(parameter, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.3)
    return model


def image(*size):
    """Random pixels."""
    return torch.randn(*size, dtype=torch.float64)


@torch.no_grad()
def test_any_size_from_one_patch_up():
    """Every height and width gives maps of the stride's fraction, rounded up, without building anything anew."""
    model = build()
    for height in range(4, 22):
        for width in (*range(4, 22, 3), 43):
            fine, coarse = model(image(1, 3, height, width))
            assert fine.shape == (1, 8, -(-height // 4), -(-width // 4))
            assert coarse.shape == (1, 16, -(-height // 8), -(-width // 8))
            assert fine.isfinite().all() and coarse.isfinite().all()


@torch.no_grad()
def test_sizes_are_independent_of_each_other():
    """An image's features are the same before and after other sizes have been seen."""
    model = build()
    x = image(2, 3, 36, 44)
    before = model(x)
    model(image(1, 3, 20, 12))
    for old, new in zip(before, model(x), strict=True):
        assert torch.equal(old, new)


@torch.no_grad()
@pytest.mark.parametrize("size", [(75,), (37, 46), (7, 21, 19)])
def test_what_lies_outside_the_image_changes_nothing(size):
    """An image cut out of a larger one has the same features whatever the rest of the larger one holds."""
    axes = len(size)
    model = build(patch_size=(4,) * axes, window_size=3)
    around = image(1, 3, *(s + 11 for s in size))
    inside = (..., *(slice(5, 5 + s) for s in size))
    before = model(around[inside])
    perturbed = image(*around.shape)
    perturbed[inside] = around[inside]
    for old, new in zip(before, model(perturbed[inside]), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize(("patch", "size"), [((4,), (72,)), ((4, 4), (40, 44)), ((2, 4, 4), (12, 20, 24))])
def test_no_attention_across_the_seam(patch, size):
    """The first token of an axis has no gradient from the opposite border, shifted or not."""
    axes = len(patch)
    model = build(patch_size=patch, window_size=(4,) * axes, depths=(2,), num_heads=(1,), out_indices=(0,))
    for axis in range(axes):
        x = image(1, 3, *size).requires_grad_()
        model(x)[0].select(2 + axis, 0).sum().backward()
        reach = x.grad.abs().sum([d for d in range(axes + 2) if d != 2 + axis])
        near, far = reach[: patch[axis]], reach[-patch[axis] :]
        assert (near > 0).all()
        assert (far == 0).all()


@torch.no_grad()
def test_images_of_a_batch_do_not_meet():
    """An image has the same features alone and in a batch."""
    model = build()
    batch = image(3, 3, 28, 52)
    together = model(batch)
    for i in range(3):
        for alone, all_maps in zip(model(batch[i : i + 1]), together, strict=True):
            torch.testing.assert_close(alone[0], all_maps[i], rtol=0, atol=1e-12)


@torch.no_grad()
def test_window_8_to_16_to_8_restores_outputs_exactly():
    """A window is a number, not a weight: it can be changed and changed back."""
    model = build(window_size=8)
    x = image(1, 3, 72, 72)
    before = model(x)
    model.set_window_size(16)
    assert model.window_size == [(16, 16), (16, 16)]
    assert model.pretrained_window_sizes == [(8, 8), (8, 8)]
    assert not torch.equal(model(x)[0], before[0])
    model.set_window_size((8, 8))
    for old, new in zip(before, model(x), strict=True):
        assert torch.equal(old, new)


@torch.no_grad()
def test_windows_differ_by_stage_and_axis():
    """A window larger than the grid holds the grid; setting it to the grid's size is the same."""
    model = build(window_size=[[4, 8], [2, 16]], pretrained_window_sizes=4)
    x = image(1, 3, 40, 48)
    expected = model(x)
    model.set_window_size([[4, 8], [2, 6]])
    for old, new in zip(expected, model(x), strict=True):
        assert torch.equal(old, new)


def test_training_windows_travel_with_the_weights():
    """A model built for another window measures offsets as the weights were trained to."""
    trained, other = build(window_size=[[8, 8], [4, 4]]), build(window_size=6)
    other.load_state_dict(trained.state_dict())
    assert other.pretrained_window_sizes == [(8, 8), (4, 4)]
    assert other.window_size == [(6, 6), (6, 6)]
    other.set_window_size([[8, 8], [4, 4]])
    x = image(1, 3, 44, 40)
    for a, b in zip(trained(x), other(x), strict=True):
        assert torch.equal(a, b)


def test_state_holds_nothing_that_depends_on_resolution_or_window():
    """Weights of one window and size fit every other."""
    shapes = [{k: v.shape for k, v in build(window_size=w).state_dict().items()} for w in (4, 16)]
    assert shapes[0] == shapes[1]
    assert not any(True for _ in build().buffers())


@torch.no_grad()
@pytest.mark.parametrize("window", [(8, 4, 4), (4, 7, 5), (3, 16, 16)])
def test_clip_of_one_repeated_frame_is_an_image(window):
    """Image weights inflated to video, on a clip that repeats a frame, give the image's features in every frame."""
    still = build(window_size=window[1:], pretrained_window_sizes=4)
    moving = build(patch_size=(2, 4, 4), merge_stride=(1, 2, 2), window_size=window, pretrained_window_sizes=(8, 4, 4))
    load_weights(moving, still.state_dict())
    x = image(2, 3, 44, 36)
    for clip, frame in zip(moving(x.unsqueeze(2).repeat(1, 1, 12, 1, 1)), still(x), strict=True):
        torch.testing.assert_close(clip, frame.unsqueeze(2).expand_as(clip), rtol=0, atol=1e-10)


def test_recomputing_gives_the_same_gradients():
    """What is computed again, in all stages or in some, is the same."""
    x = image(2, 3, 36, 36)
    gradients = []
    for checkpointing in (False, True, [False, True]):
        torch.manual_seed(0)
        model = build(checkpointing=checkpointing, drop_path_rate=0.5).train()
        torch.manual_seed(1)
        sum(f.square().mean() for f in model(x)).backward()
        gradients.append([p.grad for p in model.parameters()])
    for expected, *same in zip(*gradients, strict=True):
        for gradient in same:
            torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)


def test_recomputing_needs_no_random_state(monkeypatch):
    """PyTorch does not restore that of Apple's devices, and other images would be left out the second time."""
    x, gradients = image(8, 3, 36, 36), []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = build(checkpointing=checkpointing, drop_path_rate=0.5).train()
        monkeypatch.setattr(backbone, "checkpoint", partial(checkpoint, preserve_rng_state=False))
        torch.manual_seed(1)
        sum(f.square().mean() for f in model(x)).backward()
        gradients.append([p.grad for p in model.parameters()])
    for expected, same in zip(*gradients, strict=True):
        torch.testing.assert_close(same, expected, rtol=1e-10, atol=1e-14)


def test_stochastic_depth_drops_whole_images():
    """In training, a branch is left out for an image or scaled up; the last block's rate is the one asked for."""
    model = build(depths=(1,), num_heads=(1,), out_indices=(0,), drop_path_rate=0.0)
    block = model.layers[0].blocks[0]
    block.drop_path.rate = 0.75
    block.norm1.weight.data.zero_(), block.norm1.bias.data.fill_(1)
    block.norm2.weight.data.zero_(), block.norm2.bias.data.zero_()
    x = image(1, 3, 36, 20).expand(64, -1, -1, -1)
    entered = model.patch_embed(x).movedim(-1, 1)
    model.norm0 = nn.Identity()
    added = (model.train()(x)[0] - entered).flatten(1)
    kept = added.mean(1) > 2
    torch.testing.assert_close(added, torch.where(kept, 4.0, 0.0).double()[:, None].expand_as(added))
    assert 4 < kept.sum() < 32
    assert [b.drop_path.rate for s in build(drop_path_rate=0.3).layers for b in s.blocks] == pytest.approx(
        [0, 0.1, 0.2, 0.3]
    )


def test_extra_norm_is_counted_in_each_stage():
    """Every second block of each stage ends with a normalisation of the sum."""
    model = build(depths=(3, 4), extra_norm_period=2)
    kinds = [[isinstance(block.enorm, nn.LayerNorm) for block in stage.blocks] for stage in model.layers]
    assert kinds == [[False, True, False], [False, True, False, True]]
    outputs = []
    model.layers[1].blocks[3].enorm.register_forward_hook(
        lambda module, inputs, output: outputs.append((inputs[0], output))
    )
    model(image(1, 3, 20, 20))
    summed, normalised = outputs[0]
    torch.testing.assert_close(
        normalised,
        nn.functional.layer_norm(
            summed, (16,), model.layers[1].blocks[3].enorm.weight, model.layers[1].blocks[3].enorm.bias
        ),
    )


def test_frozen_stages_stay_frozen():
    """Frozen parts ask for no gradient and stay in evaluation, and the rest trains."""
    model = build(frozen_stages=1, drop_path_rate=0.5).train()
    sum(f.sum() for f in model(image(1, 3, 20, 20))).backward()
    assert all(p.grad is None for part in (model.patch_embed, model.layers[0]) for p in part.parameters())
    assert not model.layers[0].training and model.layers[1].training
    assert all(p.grad is not None for p in model.layers[1].parameters())
    assert all(p.requires_grad for p in build().train().parameters())


def test_a_frozen_stage_leaves_the_merging_behind_it_frozen_too():
    """The merging belongs to the stage before it, as in the official dense backbone."""
    model = build(frozen_stages=1)
    assert not any(p.requires_grad for p in model.layers[0].downsample.parameters())


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_input_channels(channels):
    """Grey and multispectral images."""
    assert build(in_channels=channels)(image(1, channels, 16, 16))[0].shape == (1, 8, 4, 4)


def test_shift_can_be_left_out_by_stage():
    """Without shifting, tokens of different windows never meet."""
    for shift in (True, False):
        model = build(shift=[shift], depths=(2,), num_heads=(1,), out_indices=(0,))
        x = image(1, 3, 32, 32).requires_grad_()
        model(x)[0][..., :4, :4].sum().backward()
        assert (x.grad[..., 16:].abs().sum() > 0) == shift


def test_embedding_and_stages_are_the_whole():
    """Tokens may be changed between the patch embedding and the stages; unchanged, they give the same features."""
    model = build()
    images = image(2, 3, 40, 36)
    whole, parts = model(images), model.encode(model.patch_embed(images))
    assert all(torch.equal(*pair) for pair in zip(whole, parts, strict=True))


def test_outputs_are_those_asked_for():
    """Fewer levels, coarse only, finest first whatever the order given."""
    model = create_backbone("swinv2_tiny_window8_256", embed_dim=8, num_heads=(1, 1, 2, 2), out_indices=(3, 1))
    assert model.channels == [16, 64]
    assert model.strides == [8, 32]
    assert [f.shape for f in model(torch.randn(1, 3, 64, 96))] == [(1, 16, 8, 12), (1, 64, 2, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"patch_size": (2, 4, 4), "depths": (1,), "num_heads": (1,), "out_indices": (0,)},
            r"window_size needs one number per axis, got \(8, 8\) for a 3-axis video model",
        ),
        ({"merge_stride": (2,)}, "patch_size and merge_stride need one number per axis"),
        ({"num_heads": (1, 2, 4)}, "one entry per stage"),
        ({"out_indices": (0, 4)}, "stages from 0 to 1"),
        ({"frozen_stages": 3}, "from -1 .* to 2, got 3"),
        ({"num_heads": (3, 2)}, "8 channels .* shared by 3 heads"),
    ],
)
def test_numbers_that_do_not_fit(options, message):
    """The error names what was given and what fits."""
    with pytest.raises(ValueError, match=message):
        SwinTransformerV2(**{**TINY, "window_size": (8, 8), **options})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 3, 9), "smaller than one patch"),
        ((1, 1, 9, 9), r"takes \(batch, 3, 2 axes"),
        ((1, 3, 9, 9, 9), r"takes \(batch, 3, 2 axes"),
    ],
)
def test_inputs_that_do_not_fit(shape, message):
    """An image below one patch, of other channels, or a clip for an image model."""
    with pytest.raises(ValueError, match=message):
        build()(image(*shape))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_are_finite_under_autocast(dtype):
    """Inputs a thousand times too large pass through autocast."""
    model = build().float()
    with torch.autocast("cpu", dtype):
        for feature in model(1000 * torch.randn(1, 3, 36, 36)):
            assert feature.isfinite().all()
            assert feature.dtype == torch.float32


def test_training_after_inference():
    """What inference mode computes and remembers for a size serves training at that size."""
    model = build()
    with torch.inference_mode():
        model(image(1, 3, 52, 60))
    sum(f.sum() for f in model.train()(image(1, 3, 52, 60))).backward()
    assert model.patch_embed.proj.weight.grad.abs().sum() > 0
