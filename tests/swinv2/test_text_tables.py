"""Lines as rows of tables."""

import pytest

from swinv2.text_lines import Line
from swinv2.text_tables import delimiter_of, plain, positions, split, unquoted


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
