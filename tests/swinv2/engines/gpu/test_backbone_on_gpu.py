"""The whole backbone on a pretended GPU, by interpreted kernels and by PyTorch's operators, beside the CPU."""

import copy

import pytest
import torch
from torch import nn

from swinv2 import explain, use_engine
from swinv2.backbone import SwinTransformerV2
from swinv2.engines.gpu import choice, stage_bias
from tests.pretended_gpu import pretended_gpu

SMALL = {"embed_dim": 32, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4, "out_indices": (0, 1)}
MODELS = {
    "image": ({}, (2, 3, 36, 28)),
    "drop path": ({"drop_path_rate": 0.5}, (4, 3, 36, 28)),
    "checkpointing": ({"drop_path_rate": 0.5, "checkpointing": True}, (4, 3, 36, 28)),
    "large window": ({"window_size": 9, "depths": (2,), "num_heads": (1,), "out_indices": (0,)}, (1, 3, 52, 40)),
    "frozen": ({"frozen_stages": 1}, (2, 3, 36, 28)),
    "extra norm": ({"extra_norm_period": 1}, (2, 3, 36, 28)),
    "clip": ({"patch_size": (2, 4, 4), "window_size": (2, 3, 3), "merge_stride": (1, 2, 2)}, (1, 3, 6, 20, 28)),
    "line": ({"patch_size": (4,)}, (2, 3, 44)),
    "empty batch": ({"drop_path_rate": 0.5}, (0, 3, 36, 28)),
}


@pytest.fixture(params=["kernels", "operators"])
def way(request, interpreted, monkeypatch):
    """By which the GPU computes attention."""
    reason = None if request.param == "kernels" else "Triton is not installed"
    monkeypatch.setattr(choice, "unfit", lambda device: reason)
    monkeypatch.setattr(stage_bias, "modification", lambda *_: None)  # parameters are of another class here
    return request.param


def model_of(**options):
    """With weights that matter."""
    made = SwinTransformerV2(**(SMALL | options))
    for name, weight in made.named_parameters():
        if "logit_scale" not in name:
            nn.init.normal_(weight, 0.0 if weight.ndim > 1 else 0.5, 0.2)
    return made


def results(model, images, device, dtype=None):
    """Features and gradients, on the CPU."""
    torch.manual_seed(1)
    with torch.autocast(device, dtype, enabled=dtype is not None):
        features = model(images.to(device))
    sum(x.float().square().mean() for x in features).backward()
    grads = {name: weight.grad.cpu() for name, weight in model.named_parameters() if weight.grad is not None}
    return [x.detach().cpu() for x in features], grads


@pytest.mark.parametrize("name", MODELS)
def test_training(name, way):
    """Features and gradients are those of the CPU, nothing is waited for, nothing is on the wrong device."""
    options, size = MODELS[name]
    model, images = model_of(**options).train(), torch.randn(size)
    features, grads = results(copy.deepcopy(model), images, "cpu")
    with pretended_gpu() as record:
        found, found_grads = results(use_engine(model, "auto").to("cuda"), images, "cuda")
    compare(found, features, 1e-5)
    assert found_grads.keys() == grads.keys()
    compare([found_grads[weight] for weight in grads], [*grads.values()], 1e-3)
    assert not record.host_only
    assert not record.float64
    assert [place for place in record.waits if "test_backbone_on_gpu" not in place] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype, way):
    """Products of 16 bits, sums and scores of 32."""
    model, images = model_of().train(), torch.randn(2, 3, 36, 28)
    features, grads = results(copy.deepcopy(model), images, "cpu")
    with pretended_gpu():
        found, found_grads = results(use_engine(model, "auto").to("cuda"), images, "cuda", dtype)
    compare(found, features, 0.05)
    assert len(found_grads) == len(grads)
    assert all(grad.isfinite().all() for grad in found_grads.values())


@torch.no_grad()
def test_evaluation(way):
    """In two calls, of which the second has the position bias of the first; a line says what computes."""
    model, images = model_of().eval(), torch.randn(2, 3, 36, 28)
    features = model(images)
    with pretended_gpu():
        gpu = use_engine(copy.deepcopy(model), "auto").to("cuda")
        said = explain(gpu, images.to("cuda")).splitlines()[0]
        for _ in range(2):
            compare([x.cpu() for x in gpu(images.to("cuda"))], features, 1e-5)
    assert said == "layers.0.blocks.0: gpu" + (
        "" if way == "kernels" else ", attention by PyTorch's operators: Triton is not installed"
    )


def compare(found, wanted, tolerance):
    """Relative distances."""
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.float() - theirs).norm() <= tolerance * theirs.norm().clamp(min=1e-3)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_nan_stays_in_its_image(way):
    """It reaches neither the features of other images nor, in the gradients of those, their pixels."""
    model, images = model_of().train(), torch.randn(3, 3, 36, 28)
    images[1, :, :4, :4] = torch.nan  # the first token, which stands in the place of those that are missing
    with pretended_gpu():
        x = images.to("cuda").requires_grad_()
        features = use_engine(model, "auto").to("cuda")(x)
        sum(feature[[0, 2]].square().mean() for feature in features).backward()
        found, grad = [feature.detach().cpu() for feature in features], x.grad.cpu()
    for feature in found:
        assert feature[[0, 2]].isfinite().all()
        assert feature[1].isnan().any()
    assert grad[[0, 2]].isfinite().all()
