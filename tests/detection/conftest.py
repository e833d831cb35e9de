"""A small COCO data set for the tests of the data side, and a small batch for those of the detectors."""

import json

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils


def region(height, width, left, top, right, bottom):
    """A rectangle as compressed RLE."""
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    encoded = mask_utils.encode(mask)
    return {"size": [height, width], "counts": encoded["counts"].decode()}


class Coco:
    """Three images: two objects (polygon, plain RLE), one object and a crowd (compressed RLE), and none."""

    def __init__(self, root):
        self.folder = root / "images"
        self.json = root / "annotations.json"
        self.folder.mkdir()
        sizes = {7: (40, 60), 3: (30, 50), 12: (20, 20)}
        self.content = {
            "images": [{"id": i, "file_name": f"{i}.png", "height": h, "width": w} for i, (h, w) in sizes.items()],
            "categories": [{"id": 5, "name": "cat"}, {"id": 2, "name": "dog"}],
            "annotations": [
                {
                    "id": 0,
                    "image_id": 7,
                    "category_id": 5,
                    "bbox": [10, 5, 20, 16],
                    "segmentation": [[10, 5, 30, 5, 30, 21, 10, 21]],
                },
                {
                    "id": 11,
                    "image_id": 7,
                    "category_id": 2,
                    "bbox": [40, 10, 10, 20],
                    "segmentation": {"size": [40, 60], "counts": [1610, *[20, 20] * 9, 20, 410]},
                    "iscrowd": 0,
                },
                {
                    "id": 12,
                    "image_id": 3,
                    "category_id": 5,
                    "bbox": [0, 10, 20, 20],
                    "segmentation": region(30, 50, 0, 10, 20, 30),
                },
                {
                    "id": 13,
                    "image_id": 3,
                    "category_id": 2,
                    "bbox": [30, 0, 20, 30],
                    "segmentation": region(30, 50, 30, 0, 50, 30),
                    "iscrowd": 1,
                },
            ],
        }
        for image_id, (height, width) in sizes.items():
            picture = np.zeros((height, width, 3), np.uint8)
            picture[..., 2] = 20 * image_id  # red, as OpenCV counts
            picture[:, : width // 2, 0] = 255  # blue on the left
            cv2.imwrite(str(self.folder / f"{image_id}.png"), picture)

    def write(self):
        """Write the annotations and say where."""
        self.json.write_text(json.dumps(self.content))
        return self.json


@pytest.fixture
def coco(tmp_path):
    """A COCO data set; a test may change `content` before it calls `write`."""
    return Coco(tmp_path)


@pytest.fixture
def pictures():
    """Two pictures of noise, of different sizes, with two objects and a semantic map of five classes each."""
    torch.manual_seed(1)
    sizes = [(64, 96), (80, 64)]
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    boxes = torch.tensor([[5.0, 6, 45, 40], [20, 30, 40, 55]])
    targets = []
    for size in sizes:
        masks = torch.zeros(2, *size, dtype=torch.bool)
        masks[0, 6:40, 5:45] = masks[1, 30:55, 20:40] = True
        semantic = torch.randint(0, 5, size, dtype=torch.uint8)
        targets.append({"boxes": boxes, "labels": torch.tensor([0, 2]), "masks": masks, "semantic": semantic})
    return images, targets
