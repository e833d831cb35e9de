"""Files that are passed over by their suffixes."""

import logging
from pathlib import Path

import pytest

from swinv2.imaging.skipped_files import check_loose, check_passed_over

FOLDER = Path("data")


def test_nothing_passed_over(caplog):
    """Where nothing is passed over there is nothing to say."""
    with caplog.at_level(logging.WARNING):
        check_passed_over(FOLDER, [], ["a.jpg"], 1)
    assert caplog.text == ""


def test_files_are_counted(caplog):
    """Files are counted with their share, by their suffixes, and the first are named."""
    check_passed_over(FOLDER, ["a.cr2", "b.CR2", "c.txt", "README"], ["d.jpg", "e.jpg", "f.jpg", "g.jpg"], 4)
    assert "Passed over 4 files of 8 (50%) in data that are no images (2 .cr2, 1 .txt, 1 without suffix)" in caplog.text
    assert "first a.cr2, b.CR2, c.txt" in caplog.text


def test_most_are_passed_over():
    """More pictures passed over than images are an error; notes are no pictures, nor are other forms of an image."""
    images = ["a/1.jpg", "a/2.jpg"]
    check_passed_over(FOLDER, ["x.txt", "y.txt", "z.xml", "a/1.npy", "a/2.npy", "a/3.npy", "a/4.npy"], images, 2)
    with pytest.raises(ValueError, match=r"More than half .* passed over: 3 files of 5 \(60%\) in data .*\(3 \.npy\)"):
        check_passed_over(FOLDER, ["x.txt", "a/1.npy", "a/3.npy", "a/4.npy", "a/5.npy"], images, 2)


def test_what_lies_beside_the_folders_of_classes(caplog):
    """It is counted, and an error where it is more than what lies in them."""
    check_loose(FOLDER, [], 0, "images")
    assert not caplog.text
    check_loose(FOLDER, ["a.mp4", "b.mp4"], 2, "videos")
    assert "2 of 4 videos in data are in no folder of a class, first a.mp4, b.mp4; they are passed over" in caplog.text
    with pytest.raises(ValueError, match=r"3 of 5 images in data are in no folder.*Move each into the folder"):
        check_loose(FOLDER, ["a.jpg", "b.jpg", "c.jpg"], 2, "images")
