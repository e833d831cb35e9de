"""Lists and objects in texts."""

import pytest

from swinv2.files.structured_text import class_part, is_tree, load_tree


@pytest.mark.parametrize(
    ("suffix", "text", "content"),
    [
        (".txt", '["cat", "dog"]', ["cat", "dog"]),
        (".txt", "['cat', 'dog']\n", ["cat", "dog"]),
        (".py", "CLASSES = ('cat', 'dog')\n", ["cat", "dog"]),
        (".txt", "{0: 'cat, Felis',\n 1: \"dog's\"}\n", {"0": "cat, Felis", "1": "dog's"}),
        (".yaml", "nc: 2\nnames: [cat, no]\n", {"nc": "2", "names": ["cat", "no"]}),
        (".yml", "names:\n  0: cat\n  1: dog\n", {"names": {"0": "cat", "1": "dog"}}),
    ],
)
def test_trees(suffix, text, content):
    """JSON, what Python prints, and YAML are read whatever the file is called; words of YAML stay words."""
    assert is_tree(text, suffix)
    assert load_tree(text, suffix) == content


@pytest.mark.parametrize("text", ["cat\ndog\n", "[0] cat\n[1] dog\n", "(old) cat\n", "names: cat\n", "{cat}\n"])
def test_lines(text):
    """Names in brackets, or with numbers in them, are lines of a list."""
    assert not is_tree(text, ".txt")


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        (".json", '{"a": 1, "a": 2}', "key 'a' twice"),
        (".txt", "['a', open('b')]", "It is no JSON"),
        (".txt", "[" * 100_000, "nested too deep"),
        (".txt", "['a', " + "[" * 100_000, "It is no JSON"),
        (".yaml", "a: &x [1]\nb: *x\n", "has aliases"),
        (".yaml", "a: [", "It is no YAML"),
    ],
)
def test_no_trees(suffix, text, message):
    """What cannot be read is an error; nothing is run, and nothing stands for more than is written."""
    with pytest.raises(ValueError, match=message):
        load_tree(text, suffix)


def test_classes_in_a_larger_object():
    """They are under the usual keys; several that do not say the same are an error."""
    assert class_part({"nc": 1, "names": ["cat"]}) == ["cat"]
    assert class_part({"id2label": {"0": "cat"}, "label2id": {"cat": 0}}) == {"0": "cat"}
    assert class_part({"cat": 0}) == {"cat": 0}
    with pytest.raises(ValueError, match="several lists of classes, 'labels' and 'names'"):
        class_part({"names": ["a"], "labels": ["b"]})
