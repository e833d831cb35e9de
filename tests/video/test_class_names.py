"""Files of class names."""

import pytest

from video.class_names import read_class_names


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
    ],
)
def test_names_by_label(tmp_path, name, text):
    """Each format gives the names in the order of their labels."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / name) == ["walk", "sit down", "stand up"]


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
