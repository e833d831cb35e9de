"""Lines as rows of tables."""

import pytest

from swinv2.files.text_lines import Line
from swinv2.files.text_tables import check_one_split, delimiter_of, plain, plain_list, positions, split, unquoted


def lines(*texts):
    """Lines of a file."""
    return [Line(number, text) for number, text in enumerate(texts, start=1)]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        ('"a, b", "c"', ["a, b", "c"]),
        ('"say ""hi""",x', ['say "hi"', "x"]),
        ("'a',b", ["a", "b"]),
        ("a", ["a"]),
        ("o'clock,5\"", ["o'clock", '5"']),
    ],
)
def test_cells(text, cells):
    """Blanks and quotes around a cell are taken away."""
    assert split(Line(1, text), ",") == cells


@pytest.mark.parametrize(
    ("texts", "delimiter"),
    [
        (("a,b", "c,d"), ","),
        (("a;b,c", "d;e"), ";"),
        (("a\tb", "c\td"), "\t"),
        (("a b", "c d"), None),
        (("a,b", "c"), None),
        (("a|b",), "|"),
    ],
)
def test_delimiter(texts, delimiter):
    """It is what parts all lines into as many cells."""
    assert delimiter_of(lines(*texts)) == delimiter


def test_headings():
    """Words are the same however they are written; the likeliest one comes first."""
    assert [plain(word) for word in ("Class Name", "class_name", "className", "étiquette")] == [
        "classname", "classname", "classname", "étiquette",
    ]  # fmt: skip
    assert positions(["id", "Class", "class name"], ("classname", "class")) == [2, 1]


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ('"a b"', "a b"),
        ("'a'", "a"),
        ("it's", "it's"),
        ("'a' or 'b'", "'a' or 'b'"),
        ('"', '"'),
        ('""', ""),
        ("a", "a"),
    ],
)
def test_quotes(text, inner):
    """Only quotes around the whole are taken away."""
    assert unquoted(text) == inner


@pytest.mark.parametrize(
    "texts", [("1) a", "2) b"), ("[1] a", "[2] b"), ("1 - a", "2 - b"), ("1. a", "2. b"), ("1 -> a", "(2) b")]
)
def test_numbers_of_a_list(texts):
    """Numbers in front are told by a colon, whatever sign they have."""
    assert [line.text for line in plain_list(lines(*texts))] == ["1: a", "2: b"]


def test_plain_lists():
    """Commas that a program needs go; numbers that are parts of names, or of some of them, stay."""
    assert [line.text for line in plain_list(lines("'a',", "'b'"))] == ["'a'", "'b'"]
    assert plain_list(lines("1) a", "b")) == lines("1) a", "b")
    assert plain_list(lines("737-200", "747-400")) == lines("737-200", "747-400")


def test_one_split():
    """A column of parts of the data has one of them; other columns, and other words, may have any."""
    for heading, values in (("split", ["train"]), ("split", ["x", "y"]), ("name", ["train", "val"])):
        check_one_split(heading, values)
    for heading, values in (("Subset", ["train", "val"]), ("fold", ["0", "1"])):
        with pytest.raises(ValueError, match=rf"column '{heading}' has .*, and all rows would be taken"):
            check_one_split(heading, values)
