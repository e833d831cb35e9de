"""Class lists."""

from pathlib import Path

import numpy as np
import pytest

from segmentation.data.class_list import IGNORED, ClassList

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
        "0) person\n1) traffic light\n11) stop sign\n",
        "[0] person\n[1] traffic light\n[11] stop sign\n",
        "0 - person\n1 - traffic light\n11 - stop sign\n",
        "0 person #dc143c\n1 traffic light #faaa1e\n11 stop sign #dcdc00\n",
        "{0: 'person', 1: 'traffic light',\n 11: 'stop sign'}\n",
        "sep=;\nvalue;name\n0;person\n1;traffic light\n11;stop sign\n",
    ],
    ids=["colon", "blanks", "tabs", "commas", "comments", "brackets", "squares", "dash", "colours", "Python", "Excel"],
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
    classes = ClassList.read(Path(__file__).parents[3] / "configs/segmentation/coco_stuff.txt")
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


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name,value\nwater,3\nfield,7\n", "classes.csv"),
        ("Pixel Value, Class\n3, water\n7, field\n", "_classes.csv"),
        ("class;colour;id\nwater;blue;3\nfield;green;7\n", "classes.txt"),
        ("label\tcategory\n3\twater\n7\tfield\n", "classes.tsv"),
        ("name value\nwater 3\nfield 7\n", "classes.txt"),
        ("id name\n3 water\n7 field\n", "classes.txt"),
        ("water,3\nfield,7\n", "classes.csv"),
        ("water: 3\nfield: 7\n", "classes.txt"),
        ("3;water\n7;field\n", "classes.txt"),
        ("3.0, 'water'\r\n\r\n7.0, \"field\"", "classes.txt"),
        ('{"water": 3, "field": 7}', "classes.json"),
        ('{"3": "water", "7": "field"}', "classes.txt"),
        ('{"categories": [{"id": 3, "name": "water"}, {"id": 7, "name": "field"}]}', "classes.json"),
    ],
)
def test_tables(tmp_path, text, name):
    """Headings in usual words, columns in either order, and JSON give names and values."""
    classes = read(tmp_path, text, name)
    assert (classes.names, classes.values) == (("water", "field"), (3, 7))


@pytest.mark.parametrize("reduce", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "name,r,g,b\nAnimal,64,128,64\nArchway,192,0,128\n",
        "64 128 64\tAnimal\n192 0 128\t\tArchway\n",
        "# label:color_rgb:parts:actions\nAnimal:64,128,64::\nArchway:192,0,128::\n",
        "class\nAnimal\nArchway\n",
        '["Animal", "Archway"]',
    ],
)
def test_lists_without_values(tmp_path, caplog, text, reduce):
    """Where there are names and at most colours, values count on, and the log says that the colours are not used."""
    classes = read(tmp_path, text, reduce_zero_label=reduce)
    assert (classes.names, classes.values) == (("Animal", "Archway"), (1, 2) if reduce else (0, 1))
    assert ("used: where there is no other column" in caplog.text) == ("64" in text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("#hashtag\n# a comment\n#\nC# code\n", ("#hashtag", "C# code")),
        ("class 3\nclass 2\n", ("class 3", "class 2")),
        ("天空\n🚗, red\n", ("天空", "🚗, red")),
        ("route: 66\nsky\nsea\n", ("route: 66", "sky", "sea")),
    ],
)
def test_names_with_signs_and_numbers(tmp_path, text, names):
    """Names may begin with # or end in numbers; comments are # alone or before a blank."""
    classes = read(tmp_path, text)
    assert (classes.names, classes.values) == (names, tuple(range(len(names))))


def test_list_of_labelme(tmp_path, caplog):
    """In the lists of labelme values count from -1, whose name is no class."""
    classes = read(tmp_path, "__ignore__\n_background_\ncat\n")
    assert (classes.names, classes.values) == (("_background_", "cat"), (0, 1))
    assert "__ignore__, labelme's name of pixels to be left out, is no class" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,value\n", "list is empty"),
        ("sky\nsea\nsky\n", "name 'sky' twice, in line 1, 'sky', and in line 3, 'sky'"),
        ("name,id\nsky,1\nsea,1\n", "value 1 twice, in line 2, 'sky,1', and in line 3, 'sea,1'"),
        ("name,value\nsky,x\nsea,1\n", "Line 2: the row 'sky,x' has no whole number in the column 'value'"),
        ("name,value\nsky,1.5\nsea,1\n", "Line 2: '1.5' is no whole number"),
        ("-1: void\n1: sea\n", r"Line 1: the pixel value -1 is out of range; .*data\.ignore_index"),
        (f"1: sky\n{'9' * 5000}: sea\n", "characters, line 2, .*; up to 4096 are read"),
        (f"1: sky\n{'9' * 500}: sea\n", "Line 2: the pixel value 9{18} is out of range"),
        ("name,id,trainId\nroad,7,0\nsky,23,10\n", "columns 'id' and 'trainId' may both be the pixel values"),
        ("name,count\nroad,70\nsky,23\n", "column 'count' may be the pixel values; call it 'value'"),
        ("7 0 road\n23 10 sky\n", "several columns of numbers, as in line 1, '7 0 road'"),
        ("0 1 2 3 road\n1 2 3 4 sky\n", "several columns of numbers"),
        ("road 7\nsky 3\n", "may be pixel values or parts of the names; write the value first"),
        ("3\n5\n", "The lines are numbers without names"),
        ("water,0\nfield,x\n", "Line 2: the line 'field,x' has no pixel value"),
        ("---\nsky\n", "'---' is no name of a class"),
        ("- sky\n- sea\n", "'- sky' is no name of a class"),
        ("sky\nse\0a\n", r"control character '\\x00' in line 2"),
        ('{"sky": 0, "sea": true}', "entry 2, 'sea': 'true' is no whole number"),
        ('{"sky": 0, "sky": 1}', "has the key 'sky' twice"),
        ('[{"id": 1, "name": null}, {"id": 2, "name": "sea"}]', "Entry 1: its name is None, not a text"),
        ('[{"id": 1}, {"id": 2}]', "no key 'name'"),
        ("[" * 100_000, "no JSON that can be read"),
        ('{"names": ["a"], "labels": ["b"]}', "several lists of classes, 'labels' and 'names'"),
    ],
)
def test_lists_that_are_not_clear(tmp_path, text, message):
    """What may mean several things, or nothing, is an error with file, line and value."""
    with pytest.raises(ValueError, match=rf"classes\.txt: .*{message}"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sky\nsea\n".encode("utf-16"), "UTF-16; save it again in UTF-8"),
        (b"sky\ncaf\xe9\n", "line 2 has the byte 0xe9"),
    ],
)
def test_other_encodings(tmp_path, content, message):
    """Lists in other encodings are refused, with the way out."""
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"classes\.txt is not a text file.*{message}"):
        ClassList.read(tmp_path / "classes.txt")


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


@pytest.mark.parametrize("text", ["nc: 2\nnames: [sky, no]\n", "names:\n  0: sky\n  1: no\n", "- sky\n- no\n"])
def test_yaml(tmp_path, text):
    """Of YAML the names count, not the lines, and its words are no truth values."""
    (tmp_path / "data.yaml").write_text(text)
    assert ClassList.read(tmp_path / "data.yaml").names == ("sky", "no")
