"""Names of classes, and what lists call the first of them."""

import pytest

from video.data.lists import read_videos
from video.data.naming import read_first, read_names


@pytest.fixture
def root(tmp_path):
    """Three videos, and a list of them with labels from 1, as UCF101 has."""
    for name in "abc":
        (tmp_path / f"{name}.avi").touch()
    (tmp_path / "train.txt").write_text("a.avi 1\nb.avi 2\nc.avi 3\n")
    return tmp_path


def test_labels_from_one(root):
    """If the class file counts from 1, labels are its numbers, in validation as in training."""
    (root / "classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n3 Biking\n")
    (root / "val.txt").write_text("b.avi 2\n")
    names = read_names(root, "train.txt", "classInd.txt")
    first = read_first(root, ("train.txt", "val.txt"), "classInd.txt", names)
    assert [item.label for item in read_videos(root / "train.txt", root, names, first).items] == [0, 1, 2]
    assert [item.label for item in read_videos(root / "val.txt", root, names, first).items] == [1]


def test_labels_from_zero_beside_a_class_file_from_one(root):
    """A training list that has the label 0 counts from there, whatever the class file does."""
    (root / "classes.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n3 Biking\n")
    (root / "train.txt").write_text("a.avi 0\nb.avi 1\nc.avi 2\n")
    assert read_first(root, ("train.txt", None), None, read_names(root, "train.txt", None)) == 0


def test_labels_that_may_count_from_either(root, caplog):
    """Beside names without numbers labels from 1 are an error; without any names the log asks."""
    assert read_first(root, ("train.txt", None), None, read_names(root, "train.txt", None)) == 0
    assert "has the label 0 (class 0): if its labels count from 1, take 1 from each" in caplog.text
    (root / "classes.txt").write_text("ApplyEyeMakeup\nArchery\nBiking\n")
    with pytest.raises(ValueError, match=r"train\.txt count from 1 to 3, the 3 classes from 0"):
        read_first(root, ("train.txt", None), None, read_names(root, "train.txt", None))


def test_validation_list_counts_where_there_is_no_other(root):
    """Without training videos it is the validation list that tells; class folders are known by name."""
    (root / "classes.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n3 Biking\n")
    names = read_names(root, "gone.txt", None)
    assert read_first(root, ("gone.txt", "train.txt"), None, names) == 1
    (root / "folders").mkdir()
    assert read_first(root, ("folders", "train.txt"), None, names) == 0


def test_names_of_class_folders(tmp_path):
    """Folders without videos name no class."""
    for name in ("run/a.mp4", "swim/deep/b.3gp", "empty/notes.txt", "__MACOSX/run/c.mp4", ".hidden/d.mp4"):
        (tmp_path / "train" / name).parent.mkdir(parents=True)
        (tmp_path / "train" / name).touch()
    assert read_names(tmp_path, "train", None) == ["run", "swim"]


def test_class_folders_that_are_numbers(tmp_path):
    """Folders 1, 2, … belong to the classes of a file that counts from 1, also where the last one is missing."""
    for name in "12":
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "a.mp4").touch()
    (tmp_path / "classes.txt").write_text("1 walk\n2 run\n3 jump\n")
    names = read_names(tmp_path, "train", None)
    first = read_first(tmp_path, ("train", None), None, names)
    assert [item.label for item in read_videos(tmp_path / "train", tmp_path, names, first).items] == [0, 1]
