"""Layout and compilation of heads."""

import copy
import subprocess
import sys

import torch
from torch import nn

from detection import MaskRCNN
from segmentation import UPerNet
from swinv2 import BackboneConfig
from swinv2.training.heads import prepare_heads, store_channels_last

DWARF = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4}

TWO_STAGES = {"depths": [1, 1], "num_heads": [1, 1], "out_indices": (0, 1)}


def is_channels_last(x):
    """Whether the numbers of a position stand beside each other."""
    return x.is_contiguous(memory_format=torch.channels_last)


def inputs_of_convolutions(model, run):
    """Whether the input of each convolution outside of the backbone, larger than 1 x 1, has its channels last."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith("backbone"):
            note = lambda module, args: found.append(is_channels_last(args[0]))  # noqa: E731
            module.register_forward_pre_hook(note)
    run()
    return found


def test_segmenter_is_the_same():
    """Losses and gradients are those of the other layout; all maps go through the head with their channels last."""
    torch.manual_seed(0)
    model = UPerNet(BackboneConfig(**DWARF), 3, channels=16, auxiliary_channels=16, dropout=0.0)
    other = copy.deepcopy(model)
    prepare_heads(other, torch.device("cuda"), compiles=False)
    assert is_channels_last(other.decode_head.fpn_convs[0].conv.weight)
    assert other.backbone.patch_embed.proj.weight.is_contiguous()
    images, labels = torch.rand(2, 3, 64, 64), torch.randint(0, 3, (2, 64, 64))
    for one in (model, other):
        torch.stack(list(one(images, labels).values())).sum().backward()
    for parameter, wanted in zip(other.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, wanted.grad, rtol=1e-3, atol=1e-6)
    assert all(inputs_of_convolutions(other, lambda: other(images, labels)))


def test_pyramid_of_a_detector_has_its_channels_last():
    """From the backbone to the RPN no map is rearranged, and the detections are the same."""
    torch.manual_seed(0)
    model = MaskRCNN(BackboneConfig(**DWARF), 3, fpn_channels=16).eval()
    image = torch.rand(3, 64, 64)
    with torch.no_grad():
        before = model([image])[0]
        store_channels_last(model)
        parts = nn.ModuleList([model.fpn, model.rpn.head])
        maps = []
        assert all(inputs_of_convolutions(parts, lambda: maps.extend(model([image]))))
    for name, values in before.items():
        torch.testing.assert_close(maps[0][name], values, rtol=1e-3, atol=1e-3)


COMPILED = """
import torch
from functools import partial
from detection import MaskRCNN, RPNConfig
from segmentation import UPerNet
from swinv2 import BackboneConfig
from swinv2.training.heads import prepare_heads
torch.set_num_threads(1)
torch.compile = partial(torch.compile, backend="eager")
torch.manual_seed(0)
dwarf = {dwarf}
segmenter = UPerNet(BackboneConfig(**dwarf), 3, channels=16, auxiliary_channels=16).eval()
detector = MaskRCNN(BackboneConfig(**dwarf), 3, 16, RPNConfig((8, 16, 32), (20, 20), 10)).eval()
images = [torch.rand(1, 3, 64, 96), torch.rand(1, 3, 96, 64)]
def results():
    with torch.no_grad():
        return [[segmenter(image), detector(list(image))] for image in images]
before = results()
for model in (segmenter, detector):
    prepare_heads(model, torch.device("cpu"), compiles=True)
torch.testing.assert_close(results(), before, rtol=1e-4, atol=1e-4)
"""


def test_compiled_heads_give_the_same():
    """Whatever the size; in a process without the type checks of the test run, which no graph can hold."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED.format(dwarf=DWARF | TWO_STAGES)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
