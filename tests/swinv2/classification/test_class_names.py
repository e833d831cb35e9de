"""Classes by the names that lists and folders have for them."""

import re

import pytest

from swinv2.classification.class_names import (
    check_no_splits,
    find_class_file,
    first_number,
    labels_of,
    name_classes,
    tell_one_class,
)

NAMES = ["walk", "run", "jump"]


def test_names_of_a_file(tmp_path):
    """They come by label, from the file that is asked for or has the usual name."""
    assert find_class_file(tmp_path, None) is None
    (tmp_path / "classes.txt").write_text("1 walk\n2 run\n")
    assert find_class_file(tmp_path, None) == find_class_file(tmp_path, "classes.txt") == (["walk", "run"], 1)


def test_what_folders_call_a_class(tmp_path):
    """A class is found by its name, by ImageNet's number of it, and by its label where that is no name."""
    names = ["n01440764 tench", "7", "cat"]
    found = labels_of(["7", "n01440764", "cat", "2", "n01440764 tench"], names, tmp_path)
    assert found == {"7": 1, "n01440764": 0, "cat": 2, "2": 2, "n01440764 tench": 0}


@pytest.mark.parametrize(
    ("given", "said"), [(["3"], "'3', but"), (["dog", "2", "cow"], r"'dog' \(the first of 2 such\), but")]
)
def test_unknown_class(tmp_path, given, said):
    """A class that there is not is an error that says which there are."""
    with pytest.raises(ValueError, match=rf"has the class {said} .*3 classes are a, b, c, … .*data\.classes"):
        labels_of(given, ["a", "b", "c"], tmp_path)


def test_classes_of_a_list():
    """Classes are sorted by their names, or as many as the highest number says."""
    assert name_classes(["run", "walk", "run"]) == ["run", "walk"]
    assert name_classes(["2", "0", "002"]) == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["0", "walk"], "Some labels are numbers, e.g. '0', and others names, e.g. 'walk'"),
        (["1", "100000"], "label 100000 is no number of a class; .* less than 100000"),
        (["9" * 5000], "label 9{40} is no number of a class"),
    ],
    ids=["mixed", "too large", "far too large"],
)
def test_labels_that_make_no_classes(labels, said):
    """They are an error before any memory is taken."""
    with pytest.raises(ValueError, match=said):
        name_classes(labels)


@pytest.mark.parametrize("label", ["3", "-1", "9" * 5000, "٣"])
def test_numbers_that_are_no_class(tmp_path, label):
    """A number beyond the classes, or none that is one, is unknown."""
    with pytest.raises(ValueError, match=r"has the class .* with labels from 0 to 2"):
        labels_of([label], NAMES, tmp_path)


def test_labels_from_one(tmp_path):
    """Where a list calls the first class 1, numbers are one more, and names stay what they are."""
    assert labels_of(["1", "3", "run"], NAMES, tmp_path, first=1) == {"1": 0, "3": 2, "run": 1}
    with pytest.raises(ValueError, match=r"'0', but .* labels from 1 to 3"):
        labels_of(["0"], NAMES, tmp_path, first=1)


@pytest.mark.parametrize(
    ("labels", "numbered", "first", "told"),
    [
        (["0", "1"], 1, 0, ""),
        (["1", "2", "3"], 1, 1, "taken as the numbers of the class file, from 1"),
        (["2", "3"], 1, 1, "taken as the numbers of the class file"),
        (["1", "2"], None, 0, r"Nothing in .* has the label 0 \(walk\): if its labels count from 1"),
        (["1", "2"], 0, 0, "Nothing in .* has the label 0"),
        (["walk", "run"], 1, 0, ""),
    ],
)
def test_first_number(tmp_path, caplog, labels, numbered, first, told):
    """Labels count from 1 if nothing has the label 0 and the class file counts so, too; the log tells of doubt."""
    assert first_number(labels, NAMES, numbered, tmp_path) == first
    assert re.search(told, caplog.text) and bool(caplog.records) == bool(told)


@pytest.mark.parametrize("numbered", [None, 0])
def test_labels_from_one_beside_classes_from_zero(tmp_path, numbered):
    """They are an error that says how to mend it."""
    with pytest.raises(ValueError, match=r"count from 1 to 3, the 3 classes from 0.*'1 walk'.*take 1 from each label"):
        first_number(["1", "2", "3"], NAMES, numbered, tmp_path)


def test_parts_of_the_data_are_no_classes(tmp_path):
    """Folders of training and validation are an error with the one to name; a single one may be of trains."""
    check_no_splits(["train"], tmp_path)
    check_no_splits(["train", "tram"], tmp_path)
    with pytest.raises(ValueError, match=r"are train, Val: parts of the data, no classes\. Name one"):
        check_no_splits(["train", "Val"], tmp_path)


def test_one_class_alone(tmp_path, caplog):
    """One class alone is told, as it makes any training perfect."""
    tell_one_class(["cat", "dog"], tmp_path)
    assert not caplog.text
    tell_one_class(["images"], tmp_path)
    assert "There is one class only, images" in caplog.text
