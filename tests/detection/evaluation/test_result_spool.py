"""Detections that wait on the disk."""

import json

import pytest

from detection.evaluation.result_spool import ResultSpool, in_order


def entries(image_id, count):
    """Detections of an image."""
    return [{"image_id": image_id, "category_id": 1, "bbox": [0.1, 2.0, 3.0, 4.0], "score": 0.5}] * count


def test_all_come_back_in_the_order_of_the_images(tmp_path):
    """Those of all processes together; an image that two of them had comes once."""
    spools = [ResultSpool(tmp_path), ResultSpool(tmp_path)]
    for spool, image_ids in zip(spools, ((5, 1, 4), (2, 4)), strict=True):
        for image_id in image_ids:
            spool.add(image_id, entries(image_id, image_id - 1))
    found = in_order([spool.read() for spool in spools])
    assert [*map(json.loads, found)] == [one for image_id in (2, 4, 5) for one in entries(image_id, image_id - 1)]
    assert [*tmp_path.iterdir()] == []


def test_full_disk_is_named(tmp_path, monkeypatch):
    """The folder stands in the message."""
    with open("/dev/full", "wb+", buffering=0) as full:
        monkeypatch.setattr("detection.evaluation.result_spool.TemporaryFile", lambda dir: full)
        with pytest.raises(OSError, match=f"cannot be written to {tmp_path}.*model.output"):
            ResultSpool(tmp_path).add(1, entries(1, 1))
