"""Files of class names, and classes by other names."""

import pytest

from swinv2.class_names import labels_of, read_class_names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "walk\nsit down\nstand up\n"),
        ("classes.txt", "\ufeffwalk\n\n# a remark\n  sit down \nstand up"),
        ("classes.txt", "0 walk\n2 stand up\n1 sit down\n"),
        ("classInd.txt", "1 walk\n2 sit down\n3 stand up\n"),
        ("classes.csv", "0,walk\n1,sit down\n2,stand up\n"),
        ("labels.json", '{"walk": "0", "stand up": "2", "sit down": "1"}'),
        ("labels.json", '{"walk": 0, "stand up": 2, "sit down": 1}'),
        ("labels.json", '["walk", "sit down", "stand up"]'),
        ("labels.json", '{"0": "walk", "1": "sit down", "2": "stand up"}'),
    ],
)
def test_names_by_label(tmp_path, name, text):
    """Each format gives the names in the order of their labels."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / name) == ["walk", "sit down", "stand up"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("synset_words.txt", "n01440764 tench, Tinca tinca\nn01484850 great white shark, white shark\n"),
        ("words.txt", "n01440764\ttench\nn01484850\tgreat white shark\n"),
        ("imagenet_class_index.json", '{"0": ["n01440764", "tench"], "1": ["n01484850", "great_white_shark"]}'),
    ],
)
def test_names_of_imagenet(tmp_path, name, text):
    """ImageNet's files give the number of a class, which is its own, and the first of its words, which may not be."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / name) == ["n01440764 tench", "n01484850 great white shark"]


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


def test_names_may_begin_with_numbers(tmp_path):
    """Where not all lines begin with a number, it belongs to the name."""
    (tmp_path / "classes.txt").write_text("100 metres\nhurdles\n")
    assert read_class_names(tmp_path / "classes.txt") == ["100 metres", "hurdles"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", b"", "no class names"),
        ("classes.txt", b"walk\nwalk\n", "'walk' is there twice"),
        ("classes.txt", b"0 walk\n2 sit\n", "without gaps"),
        ("classes.txt", b"\xff\xfewalk", "not a text file in UTF-8"),
        ("labels.json", b'{"walk": "first"}', "without gaps"),
        ("labels.json", b"3", "no list of names"),
        ("labels.json", b"[1, 2]", "no list of names"),
        ("labels.json", b"{", "A file of class names has one a line"),
    ],
)
def test_wrong_files(tmp_path, name, content, message):
    """What is wrong is said, with the file and the formats that are read."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_class_names(tmp_path / name)
    assert name in str(caught.value)


def test_missing_file(tmp_path):
    """A missing file is named."""
    with pytest.raises(FileNotFoundError, match=r"no file of class names .*classes\.txt"):
        read_class_names(tmp_path / "classes.txt")
