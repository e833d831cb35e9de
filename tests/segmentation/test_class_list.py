"""Class lists."""

from pathlib import Path

import numpy as np
import pytest

from segmentation.class_list import IGNORED, ClassList

ADE20K = """Idx\tRatio\tTrain\tVal\tName
1\t0.1576\t11664\t1172\twall
2\t0.1072\t6046\t612\tbuilding, edifice
24 \t0.0065\t1191\t106\tsofa, couch, lounge
"""


def read(tmp_path, text, name="classes.txt", **settings):
    """The class list in a text."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    return ClassList.read(tmp_path / name, **settings)


def test_ade20k_text(tmp_path):
    """ADE20K's own table gives the first of the synonyms, and values with their gaps."""
    classes = read(tmp_path, ADE20K, reduce_zero_label=True)
    assert classes.names == ("wall", "building", "sofa")
    assert classes.values == (1, 2, 24)


def test_ade20k_table_with_commas(tmp_path):
    """So does its form with commas."""
    text = "Idx,Ratio,Train,Val,Stuff,Name\n1,0.1576,11664,1172,1,wall\n2,0.1072,6046,612,1,building;edifice\n"
    classes = read(tmp_path, text, "objectInfo150.csv", reduce_zero_label=True)
    assert (classes.names, classes.values) == (("wall", "building"), (1, 2))


def test_synonyms_that_classes_share(tmp_path):
    """Classes with the same first synonym keep all of theirs."""
    classes = read(tmp_path, "Idx\tName\n1\tscreen, door\n2\tscreen, film\n3\tblind, screen\n")
    assert classes.names == ("screen, door", "screen, film", "blind")


@pytest.mark.parametrize(
    "text",
    [
        "0: person\n1: traffic light\n11: stop sign\n",
        "0 person\n1  traffic light\n11 stop sign\n",
        "0\tperson\tisthing=1\n1\ttraffic light\tisthing=1\n11\tstop sign\n",
        "0,person\n1, traffic light\n11,stop sign",
        "\ufeff# COCO-stuff\n\n0:person\n1:traffic light\n\n11:stop sign\n",
    ],
    ids=["colon", "blanks", "tabs", "commas", "comments"],
)
def test_values_and_names(tmp_path, text):
    """Value and name may be set apart in several ways; names may have blanks."""
    classes = read(tmp_path, text)
    assert classes.names == ("person", "traffic light", "stop sign")
    assert classes.values == (0, 1, 11)


@pytest.mark.parametrize(("reduce", "values"), [(False, (0, 1, 2)), (True, (1, 2, 3))])
def test_names_alone(tmp_path, reduce, values):
    """Values of plain names count from 0, or from 1 where 0 is void."""
    classes = read(tmp_path, "sky\ntraffic light\n3\n", reduce_zero_label=reduce)
    assert classes.names == ("sky", "traffic light", "3")
    assert classes.values == values


def test_classes_of_coco_stuff():
    """The list that comes with the recipes has 171 classes, 80 of them things, at COCO's category ids less one."""
    classes = ClassList.read(Path(__file__).parents[2] / "configs/segmentation/coco_stuff.txt")
    assert len(classes.names) == 171
    assert sum(value < 91 for value in classes.values) == 80
    named = dict(zip(classes.names, classes.values, strict=True))
    assert [named[name] for name in ("person", "stop sign", "toothbrush", "banner", "wood")] == [0, 12, 89, 91, 181]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list is empty"),
        ("# nothing\n", "list is empty"),
        ("sky\n", "one class, 'sky'; .*List the background as a class, too"),
        ("sky\nsea\nsky\n", "has the name 'sky' twice"),
        ("1: sky\n2: sea\n1: sand\n", "has the value 1 twice"),
        ("1: sky\nsea\n", "line 'sea' has no pixel value"),
        ("Idx\tName\none\tsky\n", r"row 'one\\tsky' has no whole number"),
        ("Idx\tVal\tName\n1\t7\n", r"row '1\\t7' has no"),
        ("65536: sky\n1: sea\n", "pixel value 65536 is out of range"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    """What is wrong with a list is said, with its path."""
    with pytest.raises(ValueError, match=rf"classes\.txt: .*{message}"):
        read(tmp_path, text)


def test_zero_is_listed(tmp_path):
    """0 cannot be a class and void."""
    with pytest.raises(ValueError, match=r"value 0 to 'void', but with reduce_zero_label .*Remove the line, or set"):
        read(tmp_path, "0: void\n1: sky\n", reduce_zero_label=True)


def test_missing_list(tmp_path):
    """A missing list is named, with what it could be."""
    with pytest.raises(FileNotFoundError, match=r"no class list .*gone\.txt; check data\.root and data\.classes"):
        ClassList.read(tmp_path / "gone.txt")


def test_list_that_is_no_text(tmp_path):
    """Another kind of file is refused in words."""
    (tmp_path / "objectInfo150.mat").write_bytes(b"\xff\xfe\x80mat")
    with pytest.raises(ValueError, match=r"objectInfo150\.mat is not a text file.*one class a line"):
        ClassList.read(tmp_path / "objectInfo150.mat")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels(dtype):
    """Labels count the classes of the list, whatever their values; void is IGNORED."""
    classes = ClassList(("a", "b"), (3, 7), reduce_zero_label=True)
    labels = classes.to_labels(np.array([[0, 3], [7, 255]], dtype))
    assert labels.dtype == np.int16
    assert labels.tolist() == [[IGNORED, 0], [1, IGNORED]]


def test_wide_labels():
    """Values of 16 bits are classes, too, and so may be the one to be ignored."""
    classes = ClassList(("a", "b"), (255, 40000), ignore_index=65535)
    assert classes.to_labels(np.array([[40000, 255, 65535]], np.uint16)).tolist() == [[1, 0, IGNORED]]


@pytest.mark.parametrize(("reduce", "written"), [(False, 254), (True, 0)])
def test_several_ignored_values(reduce, written):
    """Several values may mean that nothing is known; the first is written."""
    classes = ClassList(("a", "b"), (3, 7), reduce, ignore_index=[254, 5])
    labels = classes.to_labels(np.array([[3, 254], [5, 7]], np.uint8))
    assert labels.tolist() == [[0, IGNORED], [IGNORED, 1]]
    assert classes.to_values(labels).tolist() == [[3, written], [written, 7]]


def test_no_ignored_value():
    """One value to be ignored is needed, if only to write it."""
    with pytest.raises(ValueError, match=r"ignore_index is empty; give a value, e\.g\. one that no file has, 65535"):
        ClassList(("a", "b"), (3, 7), ignore_index=[])


def test_summary():
    """A line says which value means what: all of a few classes, else the first and the last."""
    assert ClassList(("a", "b"), (3, 7), True).summary() == "3 a, 7 b (2 classes); left out: 0, 255"
    assert ClassList.numbered(150).summary() == (
        "0 class 0, 1 class 1, 2 class 2, …, 149 class 149 (150 classes); left out: 255"
    )


@pytest.mark.parametrize("reduce", [False, True])
def test_values_of_labels(reduce):
    """Written values are those of the files; IGNORED becomes 0 or the value to be ignored."""
    classes = ClassList(("a", "b"), (3, 7), reduce)
    values = classes.to_values(np.array([[0, 1, IGNORED]], np.int16))
    assert values.dtype == np.uint8
    assert values.tolist() == [[3, 7, 0 if reduce else 255]]


def test_wide_values_of_labels():
    """All maps have 16 bits if a class needs them, or if a pixel to be ignored does."""
    labels = np.array([[0]], np.int16)
    assert ClassList(("a", "b"), (3, 300)).to_values(labels).dtype == np.uint16
    assert ClassList(("a", "b"), (3, 7), ignore_index=65535).to_values(labels).dtype == np.uint8
    assert ClassList(("a", "b"), (3, 7), ignore_index=65535).to_values(labels - np.int16(1)).tolist() == [[65535]]


def test_ignored_class():
    """A value cannot mean a class and be ignored when files are read."""
    classes = ClassList(("sky", "sea"), (254, 255))
    with pytest.raises(ValueError, match=r"ignore_index 255 is the value of the class 'sea'; give .*65535"):
        classes.to_labels(np.array([[254]], np.uint8))


def test_values_that_are_no_class():
    """A value above the classes is an error with file, value, pixels, what is allowed, and the settings that help."""
    classes = ClassList(("a", "b", "c"), (1, 2, 3), reduce_zero_label=True)
    message = (
        r"map\.png has .*no class: 4 \(2 pixels\), 9 \(1 pixels\)\. The list has 3 classes with values from 1 to 3, "
        r"and pixels of 0 and 255 are left out\. .*reduce_zero_label; another value, ignore_index"
    )
    with pytest.raises(ValueError, match=message):
        classes.to_labels(np.array([[0, 4, 4], [9, 1, 255]], np.uint8), Path("map.png"))


def test_many_values_that_are_no_class():
    """Of many wrong values the first are shown."""
    with pytest.raises(ValueError, match=r"14 \(1 pixels\) and 2 more\. The list"):
        ClassList(("a", "b"), (0, 1)).to_labels(np.arange(10, 17, dtype=np.uint8)[None])
