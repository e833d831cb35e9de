"""Files of class names."""

import pytest

from swinv2.classification.class_files import read_class_file


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
        ("labels.json", '{"2": "sit down", "1": "walk", "3": "stand up"}'),
        ("classes.csv", "id,name\n1,sit down\n0,walk\n2,stand up\n"),
        ("classes.csv", "name;count;label_id\nstand up;7;3\nwalk;9;1\nsit down;9;2\n"),
        ("classes.csv", "class\nwalk\nsit down\nstand up\n"),
        ("classes.csv", '"0","walk"\r\n"2","stand up"\r\n"1","sit down"\r\n'),
        ("classes.csv", "walk,0\nstand up,2\nsit down,1\n"),
        ("classes.txt", "Nummer Name\n0 walk\n1 sit down\n2 stand up\n"),
        ("classes.txt", '"walk"\n"sit down"\n"stand up"\n'),
        ("classes.txt", "'walk',\n'sit down',\n'stand up',\n"),
        ("classes.txt", "{0: 'walk',\n 1: 'sit down',\n 2: 'stand up'}\n"),
        ("classes.txt", '["walk", "sit down", "stand up"]'),
        ("classes.txt", "1) walk\n2) sit down\n3) stand up\n"),
        ("classes.csv", "sep=;\n1;walk\n2;sit down\n3;stand up\n"),
        ("data.yaml", "nc: 3\nnames:\n  0: walk\n  1: sit down\n  2: stand up\n"),
        ("config.json", '{"id2label": {"0": "walk", "1": "sit down", "2": "stand up"}, "label2id": {"walk": 0}}'),
        (
            "labels.json",
            '{"categories": [{"id": 0, "name": "walk"}, {"id": 2, "name": "stand up"}, {"id": 1, "name": "sit down"}]}',
        ),
    ],
)
def test_names_by_label(tmp_path, name, text):
    """Each format gives the names in the order of their labels."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_class_file(tmp_path / name).names == ["walk", "sit down", "stand up"]


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
    assert read_class_file(tmp_path / name).names == ["n01440764 tench", "n01484850 great white shark"]


def test_names_may_begin_with_numbers(tmp_path):
    """Where not all lines begin with a number, it belongs to the name."""
    (tmp_path / "classes.txt").write_text("100 metres\nhurdles\n")
    assert read_class_file(tmp_path / "classes.txt") == (["100 metres", "hurdles"], None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", b"", "no class names"),
        ("classes.txt", b"walk\nwalk\n", "'walk' is there twice"),
        ("classes.txt", b"0 walk\n2 sit\n", "without gaps"),
        ("classes.txt", b"\xff\xfewalk", "not a text file in UTF-8"),
        ("classes.txt", b"wa\0lk\nsit\n", "control character"),
        ("classes.txt", b"0 walk\n1 sit\nrun\n3 jump\n", "not that of line 3, 'run'"),
        ("classes.txt", b"1 walk\n1 sit\n2 run\n", "without gaps"),
        ("classes.csv", b"id,name,label\n0,walk,1\n1,sit,0\n", "columns 'id', 'label' may all be the labels"),
        ("labels.json", b'{"walk": "first"}', "without gaps"),
        ("labels.json", b"3", "no list of names"),
        ("labels.json", b"[1, 2]", "no list of names"),
        ("labels.json", b"{", "A file of class names has one a line"),
        ("labels.json", b'{"0": null}', "None for '0', which is no name and no label"),
        ("labels.json", b'{"0": ["a", 1]}', "which is no name and no label"),
        ("labels.json", b'["walk", " "]', "class name ' ' is empty"),
        ("labels.json", b'["\\ud800", "a"]', "has characters that are none"),
        ("labels.json", b"[" * 100_000, "nested too deep"),
    ],
)
def test_wrong_files(tmp_path, name, content, message):
    """What is wrong is said, with the file and the formats that are read."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_class_file(tmp_path / name)
    assert name in str(caught.value)


def test_missing_file(tmp_path):
    """A missing file is named."""
    with pytest.raises(FileNotFoundError, match=r"no file of class names .*classes\.txt"):
        read_class_file(tmp_path / "classes.txt")


@pytest.mark.parametrize(("text", "first"), [("walk\nsit\n", None), ("0 walk\n1 sit\n", 0), ("1 walk\n2 sit\n", 1)])
def test_number_of_the_first_class(tmp_path, text, first):
    """A file tells whether it counts from 0 or 1, or not at all."""
    (tmp_path / "classes.txt").write_text(text)
    assert read_class_file(tmp_path / "classes.txt") == (["walk", "sit"], first)


def test_names_that_look_like_something_else(tmp_path):
    """Names may begin with a hash, have commas, or numbers that are not their labels."""
    names = ["#hashtag", "Holding something, then dropping it", "4x100 relay", "2 legs", "say, something"]
    (tmp_path / "classes.txt").write_text("\n".join(["# a remark", *names]))
    assert read_class_file(tmp_path / "classes.txt").names == names
