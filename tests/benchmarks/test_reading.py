import numpy as np
import pytest
from PIL import Image

from benchmarks.reading import KINDS, MAPS, written
from swinv2.imaging.decoding.stored_values import stored_values
from swinv2.imaging.reading import decode

PHOTO = Image.fromarray((np.arange(20 * 30 * 3) // 7 % 256).astype(np.uint8).reshape(20, 30, 3))


@pytest.mark.parametrize("name", KINDS)
def test_photos_are_read(name, tmp_path):
    """What is timed gives a photo in every format."""
    assert decode(written(PHOTO, name, False), tmp_path / "photo").shape == (20, 30, 3)


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_read(name, tmp_path):
    """What is timed as a label map has 16 values at most."""
    assert stored_values(written(PHOTO, name, True), tmp_path / "map").max() < 16
