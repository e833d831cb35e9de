from argparse import Namespace
from collections import Counter

import pytest
import torch

from benchmarks.loading import FOLDERS, SHARD, ours, write_shard
from swinv2.shapes import make_classification

OPTIONS = Namespace(size=32, batch=4, workers=0)


@pytest.mark.parametrize("source", [FOLDERS, SHARD])
def test_shard_holds_the_files(source, tmp_path):
    """Our loader gives each image once, in the same classes, from the folders and from the shard written of them."""
    root = make_classification(tmp_path / "shapes", train=12, val=4, size=48)
    write_shard(root / SHARD, sorted((root / FOLDERS).rglob("*.jpg")))
    batches = list(ours(root, source, True, OPTIONS))
    assert {(tuple(images.shape), images.dtype) for images, _ in batches} == {((4, 3, 32, 32), torch.uint8)}
    assert Counter(torch.cat([labels for _, labels in batches]).tolist()) == dict.fromkeys(range(4), 3)
