"""What is kept of a batch."""

from pathlib import Path

import torch
from torchvision.tv_tensors import BoundingBoxes

from swinv2.training.runs.replay import plain


def test_batches_are_kept_without_code():
    """Tensors lose their class, the structure stays, and of other objects their text remains."""
    boxes = BoundingBoxes([[0, 0, 4, 4]], format="XYXY", canvas_size=(8, 8))
    kept = plain(([boxes], [{"id": 3, "name": None, "path": Path("a")}]))
    assert kept == ([kept[0][0]], [{"id": 3, "name": None, "path": repr(Path("a"))}])
    assert type(kept[0][0]) is torch.Tensor
