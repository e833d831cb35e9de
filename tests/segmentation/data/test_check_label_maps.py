"""What label maps hold, seen before training."""

import logging

import cv2
import numpy as np
import pytest

from segmentation.data import check_label_maps as survey
from segmentation.data.check_label_maps import check_maps, spread
from segmentation.data.class_list import ClassList
from segmentation.data.pairs import Pair
from swinv2.imaging.label_maps import write_map

ROADS = ClassList(("background", "road"), (0, 1))


@pytest.fixture
def pairs(tmp_path):
    """Writes maps of 2 by 5 pixels, one for each group of values, and gives their pairs."""

    def write(*maps):
        paths = [tmp_path / f"{index:03}.png" for index in range(len(maps))]
        for path, values in zip(paths, maps, strict=True):
            write_map(path, np.resize(np.array(values, np.uint8), (2, 5)))
        return [Pair(path.stem, path, path) for path in paths]

    return write


def test_foreground_that_is_left_out(pairs):
    """Masks of 0 and 255 with a list of names give nothing to learn, which is said with values, meanings and a fix."""
    message = (
        r"2 training maps give nothing to learn, only 0 \(background, 12 pixels\), 255 \(left out, 8 pixels\); "
        r".*ignore_index .*65535.*reduce_zero_label"
    )
    with pytest.raises(ValueError, match=message):
        check_maps(pairs([0, 0, 0, 255, 255], [255, 255, 0, 0, 0]), ROADS, "training")


def test_background_that_is_left_out(pairs):
    """So do masks of 0 and 1 whose 0 is left out."""
    reduced = ClassList(("background", "road"), (1, 2), reduce_zero_label=True)
    with pytest.raises(ValueError, match=r"only 0 \(left out, 8 pixels\), 1 \(background, 2 pixels\)"):
        check_maps(pairs([0, 0, 0, 0, 1]), reduced, "training")


def test_nothing_known_in_training(pairs):
    """And maps of which nothing is known at all."""
    with pytest.raises(ValueError, match=r"only 255 \(left out, 10 pixels\)"):
        check_maps(pairs([255]), ROADS, "training")


def test_rare_class(pairs, monkeypatch):
    """A second class that only one map has is found, though no sample shows it."""
    monkeypatch.setattr(survey, "MAPS", 2)
    check_maps(pairs([0], [0], [1], [0]), ROADS, "training")


def test_nothing_known_in_validation(pairs):
    """Validation maps without any known pixel, as those of a test, are refused before anything is trained."""
    message = r"3 validation maps give nothing to score, only 255 \(left out, 30 pixels\); .*val_maps to null"
    with pytest.raises(ValueError, match=message):
        check_maps(pairs([255], [255], [255]), ROADS, "validation")


def test_little_known_in_validation(pairs, monkeypatch):
    """A known pixel that only one map has is found, though no sample shows it, and a bad map there does not matter."""
    monkeypatch.setattr(survey, "MAPS", 2)
    check_maps(pairs([255], [255, 7], [255, 1], [255]), ROADS, "validation")


def test_one_class_in_validation(pairs):
    """Validation maps may have one class only."""
    check_maps(pairs([1], [1]), ROADS, "validation")


@pytest.mark.parametrize(("known", "warned"), [(1, True), (3, False)])
def test_little_known(pairs, caplog, known, warned):
    """Maps that are left out almost wholly are worth a warning with the values, and scoring may go on."""
    maps = [[255]] * 3 + [[0] * known + [255] * (10 - known)]
    with caplog.at_level(logging.WARNING):
        check_maps(pairs(*maps), ROADS, "validation")
    text = r"validation maps 97.5% are left out: 0 (background, 1 pixels), 255 (left out, 39 pixels). If a value"
    assert (text in caplog.text) == bool(caplog.records) == warned


@pytest.mark.parametrize("split", ["training", "validation"])
def test_value_that_is_no_class(pairs, split):
    """A value above the classes is an error with the file, in the last map, too."""
    with pytest.raises(ValueError, match=r"002\.png has pixel values that are no class: 7 \(5 pixels\)"):
        check_maps(pairs([0, 1], [0, 1], [0, 7]), ROADS, split)


def test_coloured_map(pairs):
    """A coloured picture in place of a map is refused."""
    found = pairs([0, 1])
    cv2.imwrite(str(found[0].map), np.arange(30, dtype=np.uint8).reshape(2, 5, 3))
    with pytest.raises(ValueError, match=r"000\.png is a coloured picture"):
        check_maps(found, ROADS, "validation")


def test_unreadable_maps(pairs):
    """Maps that cannot be read are passed over: they are left out and counted when their turn comes."""
    found = pairs([0, 1], [0, 1])
    found[0].map.write_bytes(b"")
    check_maps(found, ROADS, "training")
    found[1].map.write_bytes(b"")
    check_maps(found, ROADS, "training")


def test_sample_is_spread():
    """Up to 50 maps are looked at, from first to last; of few, all."""
    assert sorted(spread(3)) == [0, 1, 2]
    assert spread(0) == []
    positions = sorted(spread(5000))
    assert len(positions) == 50
    assert (positions[0], positions[-1]) == (0, 4999)
    assert 100 < np.diff(positions).min() <= np.diff(positions).max() < 104


def test_large_maps(pairs, monkeypatch):
    """After so many pixels no other map is read."""
    monkeypatch.setattr(survey, "PIXELS", 15)
    read = []
    monkeypatch.setattr(survey, "read_map", lambda path: read.append(path) or np.resize(np.uint8([0, 1]), (2, 5)))
    check_maps(pairs([0], [0], [0], [0]), ROADS, "validation")
    assert len(read) == 2


def test_few_maps_that_are_none(pairs, caplog):
    """A tenth of the maps at most may be none, as they are left out; the log tells, and more are an error."""
    maps = pairs(*[[0, 1]] * 10, [0, 7])
    check_maps(maps, ROADS, "training")
    assert "1 of 11 training maps that were looked at are left out, first: " in caplog.text
    write_map(maps[0].map, np.full((2, 5), 9, np.uint8))
    with pytest.raises(ValueError, match=r"are no class: .*\(2 of 11 training maps that were looked at are wrong\)"):
        check_maps(maps, ROADS, "training")
