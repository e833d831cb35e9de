"""Class lists in all layouts that people have, decorated and damaged: read as they were meant, or refused."""

import csv
import io
import json
import logging
import random
from typing import NamedTuple

import pytest

from segmentation.data.class_list import ClassList
from tests.odd.outcomes import try_all

NAMES = [
    *(
        "sky",
        "traffic light",
        "door, screen",
        "道路",
        "Straße",
        "caf\u00e9",
        "cafe\u0301",
        "🚗 car",
        "don't care",
        "#tag",
    ),
    *("C# code", "a/b", "road (wet)", "50% cover", "ثلج", "X-ray", "b_1", "N/A", "éa;b", "it: is", 'so "called"', "-"),
    *(
        "class of 3",
        "terrain.low",
        "x=y",
        "T34 tank",
        "value added",
        "_",
        "null",
        "true",
        "no",
        "low  veg",
        "q|r",
        "e1",
    ),
    "n" * 200,
]
NAME_HEADINGS = ["name", "Name", "class", "class_name", "label", "category", "Class Name", "label name", "className"]
VALUE_HEADINGS = ["value", "id", "Idx", "index", "pixel", "Pixel Value", "grey", "train_id", "gray_level", "classId"]
MORE_HEADINGS = {
    "notes": "soft",
    "supercategory": "thing",
    "ratio": "0.25",
    "colour": "#00ff80",
    "color_hex": "#123456",
}
DELIMITERS = {"txt": "\t;|,", "csv": ",;", "tsv": "\t"}


class Given(NamedTuple):
    """A class list.

    Attributes:
        file: its name.
        content: of the file.
        reduce: the setting `reduce_zero_label`.
        classes: names and values as they are meant; None for a list that is to be refused.
        is_sound: whether the list is as somebody meant it, so that it may not be refused; None if nobody knows what is
            meant, so that nothing but a fault is wrong.
    """

    file: str
    content: bytes
    reduce: bool
    classes: list[tuple[str, int]] | None
    is_sound: bool | None = True


def joined(rows, delimiter, rng, quoted=None):
    """Rows as lines, by the library's own quoting."""
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted or rng.random() < 0.2 else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue().splitlines()


def plain(names, signs):
    """Names without signs that would cut them, and none twice."""
    cleaned = [name.translate({ord(sign): " " for sign in signs}).strip() or "x" for name in names]
    return [name if cleaned.index(name) == at else f"{name} no{at}" for at, name in enumerate(cleaned)]


def of_names(rng, names, values, first):
    """Names only, whose values count on."""
    names = plain(names, "")
    if all(name[-1].isdigit() for name in names) or rng.random() < 0.1:
        names = [f"class {9 - at}" for at in range(len(names))]  # the number is a part of the name
    lines = names if rng.random() < 0.8 else [f'"{name}"' for name in plain(names, '"')]
    names = names if lines is names else plain(names, '"')
    heading = [rng.choice(["name", "class", "label_name", "Classes"])] if rng.random() < 0.2 else []
    return "txt", heading + lines, [(name, first + at) for at, name in enumerate(names)]


def of_values_in_front(rng, names, values, first):
    """Value and name, anything between."""
    delimiter = rng.choice([": ", ":", "\t", " ", "   ", ", ", ",", ";", " ; ", "=", " = ", "|", " : "])
    names = plain(names, "\t;|" + ('",' if "," in delimiter else ""))
    texts = [f"{value}.0" if rng.random() < 0.05 else f"{value}" for value in values]
    more = "\tthing" if rng.random() < 0.2 else ""
    lines = [f"{value}{delimiter}{name}{more}" for value, name in zip(texts, names, strict=True)]
    return rng.choice(["txt", "txt", "list", "names"]), lines, list(zip(names, values, strict=True))


def of_values_behind(rng, names, values, first):
    """Name and value, anything but blanks between."""
    delimiter = rng.choice([": ", ":", "\t", ", ", ",", ";", "=", " = ", "|"])
    names = plain(names, '\t;|"' + ("," if "," in delimiter else ""))
    names = [name if not name.startswith("-") else f"x{name}" for name in names]
    lines = [f"{name}{delimiter}{value}" for name, value in zip(names, values, strict=True)]
    return rng.choice(["txt", "csv"]), lines, list(zip(names, values, strict=True))


def of_table(rng, names, values, first):
    """A table with headings in any order, and columns that do not count."""
    kind = rng.choice(["txt", "csv", "csv", "tsv"])
    delimiter = rng.choice(DELIMITERS[kind])
    name, value = rng.choice(NAME_HEADINGS), rng.choice(VALUE_HEADINGS)
    if name != "label" and rng.random() < 0.1:
        value = "label"
    columns = {name: names, value: values}
    for more in rng.sample([*MORE_HEADINGS], rng.choice([0, 0, 1, 2])):
        columns[more] = [MORE_HEADINGS[more]] * len(names)
    words = rng.sample([*columns], len(columns))
    names = [one.replace("\t", " ") for one in names]
    if words[0].lower() in ("idx", "index", "id", "value") and "name" in [word.lower() for word in words]:
        columns[name] = names = plain(names, ",;")  # commas would set synonyms apart
    rows = [words, *zip(*(columns[word] for word in words), strict=True)]
    return kind, joined(rows, delimiter, rng), list(zip(names, values, strict=True))


def of_blank_table(rng, names, values, first):
    """Headings and columns with blanks between, the name at the end."""
    words = ["id", "name"] if rng.random() < 0.5 else ["name", "value"]
    names = plain(names, '\t"')
    pairs = zip(names, values, strict=True)
    lines = [f"{value}  {name}" if words[0] == "id" else f"{name} {value}" for name, value in pairs]
    return "txt", [" ".join(words), *lines], list(zip(names, values, strict=True))


def of_colours(rng, names, values, first):
    """Colours instead of values, as CamVid, DeepGlobe and CVAT have them: values count on."""
    colours = [(at * 37 % 256, at * 91 % 256, at * 53 % 256) for at in range(len(names))]
    names = plain(names, '\t,;:|="')
    names = [name if not name[-1].isdigit() else f"{name}x" for name in names]
    style = rng.randrange(5)
    if style == 0:
        rows = [["name", "r", "g", "b"], *((n, *c) for n, c in zip(names, colours, strict=True))]
        return "csv", joined(rows, ",", rng), [(name, first + at) for at, name in enumerate(names)]
    lines = [
        {
            1: f"{red} {green} {blue}\t{name}",
            2: f"{name}:{red},{green},{blue}::",
            3: f"{name}\t{red} {green} {blue}",
            4: f"{name},{red},{green},{blue}",
        }[style]
        for name, (red, green, blue) in zip(names, colours, strict=True)
    ]
    lines = ["# label:color_rgb:parts:actions"] * (style == 2) + lines
    return "txt", lines, [(name, first + at) for at, name in enumerate(names)]


def of_json(rng, names, values, first):
    """JSON: a list, names with values either way round, entries, alone or in a larger file."""
    style = rng.randrange(5)
    pairs = list(zip(names, values, strict=True))
    content = {
        0: names,
        1: dict(pairs),
        2: {str(value): name for name, value in pairs},
        3: [{"id": value, "name": name, "supercategory": "thing"} for name, value in pairs],
        4: [{"name": name, "color": [1, 2, 3]} for name in names],
    }[style]
    if style in (3, 4) and rng.random() < 0.5:
        content = {"images": 5, rng.choice(["categories", "labels", "classes"]): content}
    text = json.dumps(content, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
    found = pairs if style in (1, 2, 3) else [(name, first + at) for at, name in enumerate(names)]
    return rng.choice(["json", "txt"]), text.splitlines(), found


LAYOUTS = [
    *(of_names, of_values_in_front, of_values_behind, of_table, of_table, of_blank_table, of_colours, of_json),
]


def make(rng: random.Random) -> Given:
    """A class list, one in two of them damaged."""
    count, reduce = rng.randint(2, 12), rng.random() < 0.4
    names = rng.sample(NAMES, count)
    start = 1 if reduce else rng.choice([0, 0, 1])
    values = [*range(start, start + count)] if rng.random() < 0.5 else rng.sample(range(start, 65536), count)
    if rng.random() < 0.3:
        rng.shuffle(values)
    layout = rng.choice(LAYOUTS)
    kind, lines, classes = layout(rng, names, values, int(reduce))
    if rng.random() < 0.5:
        return damaged(rng, kind, lines, classes, reduce, layout)
    if kind != "json" and not lines[0].startswith(("[", "{")):
        lines = decorated(rng, lines)
    return Given(f"classes.{kind}", encoded(rng, lines), reduce, classes)


def decorated(rng, lines):
    """Lines with comments, empty ones, and blanks at their ends."""
    found = []
    for line in lines:
        found += [rng.choice(["", "   ", "#", "# a comment: 3", "## more"])] * (rng.random() < 0.1)
        found.append(line + " " * rng.choice([0, 0, 0, 2]))
    return found


def encoded(rng, lines):
    """Lines as a file, with any ends of lines, and a byte order mark or none."""
    end = rng.choice(["\n", "\n", "\r\n", "\r"])
    return (rng.choice(["", "", "\ufeff"]) + end.join(lines) + rng.choice(["", end])).encode()


def damaged(rng, kind, lines, classes, reduce, layout) -> Given:
    """A class list that is to be refused, or may be."""
    file = f"classes.{kind}"
    text = "\n".join(lines)
    how = rng.randrange(14)
    at = rng.randrange(1, len(lines)) if len(lines) > 1 else 0
    if how == 0:
        return Given(file, text.encode("utf-16"), reduce, None)
    if how == 1:
        return Given(file, text.encode() + b"\n\xff\xfe caf\xe9\n", reduce, None)
    if how == 2:
        return Given(file, text.encode()[:-2] + b"\0" + text.encode()[-2:], reduce, None)
    if how == 3:
        return Given(file, b"" if rng.random() < 0.5 else b"\n# nothing\n\n", reduce, None)
    if how == 4:
        long = [*lines[:at], "y" * rng.choice([5000, 300_000]), *lines[at:]]
        return Given(file, "\n".join(long).encode(), reduce, None)
    if kind == "json" or lines[0].startswith(("[", "{")):
        return damaged_json(rng, classes, reduce)
    if how == 5:  # a class twice
        return Given(file, "\n".join([*lines, lines[-1]]).encode(), reduce, None)
    if how == 6:  # a heading, and nothing below it
        return Given(file, rng.choice(["name,value", "Idx\tName", "name,r,g,b", "name"]).encode(), reduce, None)
    wrong = rng.choice(["1.5", "-1", "65536", "9" * 30, "9" * 4000, "x", "", "0x10", "1e3", "nan", "1_0"])
    if how in (7, 8):
        rows = [("name", "value"), *classes]
        rows[rng.randrange(1, len(rows))] = ("odd", wrong)
        return Given("classes.csv", "\n".join(joined(rows, ",", rng)).encode(), reduce, None)
    if how == 9:
        rows = [(str(value), name.replace("\t", " ")) for name, value in classes]
        rows[rng.randrange(len(rows))] = (wrong if wrong not in ("", "x", "nan") else "-7", "odd")
        return Given("classes.txt", "\n".join(f"{value}\t{name}" for value, name in rows).encode(), reduce, None)
    if how == 10:  # two columns that may be the values
        rows = [("name", "id", "trainId"), *((name, value, value // 2 + 1) for name, value in classes)]
        same = all(value == value // 2 + 1 for _, value in classes)
        return Given("classes.csv", "\n".join(joined(rows, ",", rng)).encode(), reduce, classes if same else None)
    return scrambled(rng, file, text, reduce)


def damaged_json(rng, classes, reduce) -> Given:
    """JSON that is to be refused."""
    entries = [{"id": value, "name": name} for name, value in classes]
    ids, texts = (None, True, 1.5, -1, 70000, [1], {}, "", "x", 1e300, float("nan")), (None, 7, "", [], {}, True, " ")
    key, value = rng.choice([*(("id", wrong) for wrong in ids), *(("name", wrong) for wrong in texts)])
    entries[rng.randrange(len(entries))][key] = value
    text = json.dumps(entries)
    twice = f'{{"a": 3, "b": 4, "a": {rng.randint(5, 9)}}}'
    text = rng.choice([text, text, text[:-1], twice, "[" * 100_000, '{"names": [1, 2]}', "7", "null", '{"a": {}}'])
    return Given(
        rng.choice(["classes.json", "classes.txt"]) if text[0] in "[{" else "c.json", text.encode(), reduce, None
    )


def scrambled(rng, file, text, reduce) -> Given:
    """A list with a bit turned, which makes no text of it, or with other signs here and there."""
    content = bytearray(f"# {'comment ' * 3}\n".encode() + text.encode())
    if rng.random() < 0.2:
        content[rng.randrange(3, 20)] ^= 0x80
        return Given(file, bytes(content), reduce, None)
    for _ in range(rng.choice([1, 3, 20])):
        at = rng.randrange(len(content))
        content[at : at + rng.choice([0, 1, 5])] = bytes(
            rng.choice(b"\n\r\t,;:|=#\"'[]{}- 0123456789.ax\x1c\xc3") for _ in range(2)
        )
    return Given(file, bytes(content), reduce, None, is_sound=None)


@pytest.fixture
def use(tmp_path):
    """Reads a class list, and compares names and values."""

    def read(given: Given) -> str | None:
        path = tmp_path / given.file
        path.write_bytes(given.content)
        try:
            found = ClassList.read(path, given.reduce, ignore_index=70000 % 65536)
        except ValueError as error:
            assert str(path) in str(error)
            if given.classes is not None and given.is_sound:
                return f"refused: {error}"
            raise
        pairs = list(zip(found.names, found.values, strict=True))
        return None if given.is_sound is None or pairs == given.classes else f"read as {pairs}, meant {given.classes}"

    return read


def test_class_lists(use, caplog):
    """Class lists of all layouts give the names and values that were written, damaged ones an error with the file."""
    caplog.set_level(logging.ERROR)
    try_all(make, use)
