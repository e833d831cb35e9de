"""The pretended GPU fails, waits and copies where a GPU would, and computes what the CPU does."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.accelerators import AcceleratorRegistry
from torch import nn
from torchvision.tv_tensors import BoundingBoxes

from swinv2 import BackboneConfig
from swinv2.classifier import ImageClassifier
from tests.pretended_gpu import DeviceMismatch, pretended_gpu


def test_devices_that_meet(gpu):
    """A tensor of the CPU beside one of the GPU fails, unless it is a single number."""
    x = torch.ones(3, device="cuda")
    assert x.device.type == "cuda" and x.is_cuda and (x + torch.tensor(1.0)).device == x.device
    with pytest.raises(DeviceMismatch, match="on the CPU"):
        x + torch.ones(3)
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: bool((x > 0).any()),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: torch.where(x > 0),
        lambda x: x.unique(),
    ],
)
def test_waits(gpu, use):
    """Each of these waits once, and names this file."""
    x = torch.ones(3, device="cuda")
    use(x)
    assert gpu.waits.total() == 1 and "test_pretended_gpu.py" in next(iter(gpu.waits))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: torch.where(x > 0, x, 0),
        lambda x: x.masked_fill(x > 0, 1.0),
        lambda x: x.clone().__setitem__(x > 0, 1.0),
        lambda x: x.topk(2).values.sum(),
        lambda x: x[torch.zeros(2, dtype=torch.int64, device="cuda")],
    ],
)
def test_no_wait(gpu, use):
    """These wait for nothing."""
    use(torch.ones(3, device="cuda"))
    assert not gpu.waits and not gpu.copies


def test_copies_and_types(gpu):
    """Copies to the GPU are counted, and so are numbers in double precision and operators that only a CPU has."""
    torch.tensor([1.0, 2.0], device="cuda")
    x = torch.ones(2, 2).to("cuda")
    x.double()
    torch._weight_norm_interface(x, x)
    assert gpu.copies.total() == 2 and gpu.float64.total() == 1 and gpu.host_only.total() == 1


def test_model():
    """A classifier has the gradients that it has on the CPU, and goes back there."""
    model = ImageClassifier(BackboneConfig("swinv2_tiny_window8_256", embed_dim=8, depths=[1, 1], num_heads=[1, 1]), 3)
    other, x, labels = copy.deepcopy(model), torch.rand(2, 3, 32, 32), torch.tensor([0, 2])
    F.cross_entropy(model(x), labels).backward()
    with pretended_gpu() as record:
        other.to("cuda")
        assert copy.deepcopy(other).head.weight.device.type == "cuda"
        F.cross_entropy(other(x.cuda()), labels.cuda()).backward()
        assert not record.waits
        found = [parameter.grad.cpu() for parameter in other.parameters()]
        file = io.BytesIO()
        torch.save(other.state_dict(), file)
        other.cpu()
    for one, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-4, atol=1e-5)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    torch.testing.assert_close(saved, dict(model.state_dict()))
    assert type(other.head.weight) is nn.Parameter


def test_half_precision(gpu):
    """Autocast keeps all gradients on the GPU."""
    layer = nn.Linear(2, 2).to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        y = layer(torch.ones(1, 2, device="cuda"))
    y.sum().backward()
    assert y.dtype == torch.bfloat16 and layer.weight.grad.is_cuda and not gpu.waits


def test_images_stay_images(gpu):
    """A copy to the GPU has the kind and the attributes of torchvision's tensors; what is computed has not."""
    boxes = BoundingBoxes(torch.ones(1, 4), format="XYXY", canvas_size=(4, 4)).to("cuda")
    assert isinstance(boxes, BoundingBoxes) and boxes.canvas_size == (4, 4) and boxes.is_cuda
    assert not isinstance(boxes.as_subclass(torch.Tensor), BoundingBoxes) and not isinstance(boxes + 1, BoundingBoxes)


def test_nothing_stays():
    """Afterwards torch and Lightning are as they were."""
    before = torch.autocast, torch.amp.autocast, torch.cuda._lazy_init, torch.is_autocast_enabled
    with pytest.raises(ArithmeticError), pretended_gpu():
        x = torch.ones(1, device="cuda")
        assert torch.autocast is not before[0]
        raise ArithmeticError
    assert before == (torch.autocast, torch.amp.autocast, torch.cuda._lazy_init, torch.is_autocast_enabled)
    assert "pretended_gpu" not in AcceleratorRegistry
    assert not torch.__future__.get_overwrite_module_params_on_conversion()
    with pytest.raises(RuntimeError, match="outside of"):
        x + 1
