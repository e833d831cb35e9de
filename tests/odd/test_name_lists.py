"""Lists of images as people have them: names, paths and columns mean the images that they were written for."""

import logging
import random
import unicodedata
from typing import NamedTuple

import pytest

from segmentation.data.pairs import find_pairs
from tests.odd.outcomes import try_all

NAMES = [
    *(
        "a",
        "b",
        "img 1",
        "2007_000032",
        "c.d",
        "e-f",
        "caf\u00e9",
        "u\u0308ber",
        "道路",
        "#1",
        "deep/a",
        "deep/x y",
        "🚗",
    ),
    *("deep/er/z", "train", "JPEGImages", "h,i", "j;k", "name", "l'm", "42", "0042", "1", "image", "VOC 2012/q"),
]
SUFFIXES = (".jpg", ".JPG", ".jpeg", ".png", ".bmp", ".tif")


class Given(NamedTuple):
    """A list, and the files that it is of.

    Attributes:
        files: names of the images, and their suffixes.
        content: of the list.
        names: of the images that are meant; None if it is to be refused.
        is_sound: whether it may not be refused; None if nobody knows what is meant.
    """

    files: dict[str, str]
    content: bytes
    names: set[str] | None
    is_sound: bool | None = True


def make(rng: random.Random) -> Given:
    """A list in one of the ways that people write them, one in three damaged."""
    known = rng.sample(NAMES, rng.randint(3, 10))
    files = {name: rng.choice(SUFFIXES) for name in known}
    meant = rng.sample(known, rng.randint(1, len(known)))
    style = rng.choice([as_names, as_names, as_paths, as_paths, as_columns, as_table])
    lines, is_sound = style(rng, meant, files)
    lines += rng.choices(lines[-len(meant) :], k=rng.choice([0, 0, 2]))  # some come twice
    if rng.random() < 0.35:
        return damaged(rng, files, lines, meant)
    found = []
    for line in lines:
        found += [rng.choice(["", "  ", "# note", "#"])] * (rng.random() < 0.1) + [line + " " * rng.choice([0, 2])]
    text = rng.choice(["", "\ufeff"]) + rng.choice(["\n", "\r\n"]).join(found) + rng.choice(["", "\n"])
    return Given(files, text.encode(), set(meant), is_sound)


def as_names(rng, meant, files):
    """Names without suffix, perhaps under a heading."""
    heading = rng.choice([[], [], ["file_name"], ["Image"]]) if not {"file_name", "image"} & {*files} else []
    return heading + [respelled(rng, name) for name in meant], True


def as_paths(rng, meant, files):
    """Paths with suffix, of the images or the maps, with folders in front or not."""
    folder, suffix = rng.choice([("images", None), ("maps", ".png")])
    front = rng.choice(
        ["", "", "./", f"{folder}/", f"/other/machine/{folder}/", f"../../{folder}/", f"C:\\x\\{folder}\\"]
    )
    paths = [front + name + (suffix or recased(rng, files[name])) for name in meant]
    paths = [path.replace("/", "\\") if rng.random() < 0.2 else path for path in paths]
    return [respelled(rng, path) for path in paths], True


def as_columns(rng, meant, files):
    """Images and maps in columns, as Pascal VOC has them."""
    delimiter = rng.choice([" ", "\t", ",", ";", ", "])
    front = rng.choice(["", "/", "./"])
    pairs = [(f"{front}images/{name}{files[name]}", f"{front}maps/{name}.png") for name in meant]
    cut = any(sign in name for sign in {*delimiter, '"'} - {"\t"} for name in meant)
    return [delimiter.join(pair) for pair in pairs], not cut


def as_table(rng, meant, files):
    """A table with headings and columns that do not count."""
    words = rng.sample(["image", "mask", "width", "split"], 4)
    cells = {"width": "640", "split": "train"}
    rows = [
        [{"image": name + files[name], "mask": f"maps/{name}.png", **cells}[word] for word in words] for name in meant
    ]
    quoted = [[f'"{cell}"' if "," in cell else cell for cell in row] for row in rows]
    return [",".join(row) for row in [words, *quoted]], True


def respelled(rng, text):
    """A text with its accents in the other form of Unicode, or as it is."""
    return unicodedata.normalize(rng.choice(["NFC", "NFD"]), text) if rng.random() < 0.3 else text


def recased(rng, suffix):
    """A suffix in other letters."""
    return rng.choice([suffix, suffix.upper(), suffix.lower()])


def damaged(rng, files, lines, meant) -> Given:
    """A list that is to be refused, or of which nobody knows what it means."""
    how = rng.randrange(9)
    text = "\n".join(lines)
    if how == 0:
        return Given(files, text.encode("utf-16"), None)
    if how == 1:
        return Given(files, text.encode() + b"\n\xe9t\xe9\n", None)
    if how == 2:
        return Given(
            files, rng.choice([b"", b"\n\n", b"# nothing\n", b"image\n" if "image" not in files else b""]), None
        )
    if how == 3:
        return Given(
            files, (text + rng.choice(["\nnot there", "\nval/a.jpg", "\n../a.png", "\n/a", "\nother/b"])).encode(), None
        )
    if how == 4:
        return Given(files, (text + "\n" + "x" * 70000).encode(), None)
    if how == 5:
        return Given(files, text.encode() + b"\0", None)
    if how == 6 and len(meant) > 1:  # image and map of different names
        rows = [
            f"images/{one}{files[one]}\tmaps/{other}.png"
            for one, other in zip(meant, [*meant[1:], meant[0]], strict=True)
        ]
        return Given(files, "\n".join(rows).encode(), None)
    if how == 7 and len(meant) > 1:
        rows = ["image,split", *(f'"{name}",{"train" if at else "val"}' for at, name in enumerate(meant))]
        return Given(files, "\n".join(rows).encode(), None)
    content = bytearray(text.encode())
    for _ in range(rng.choice([1, 3])):
        at = rng.randrange(len(content))
        content[at : at + rng.choice([0, 1, 4])] = bytes([rng.choice(b"/\\ ,;\t\n.\"'ax1#\xc3\x81")])
    return Given(files, bytes(content), None, is_sound=None)


@pytest.fixture
def use(tmp_path_factory):
    """Makes files of a list, finds its pairs, and compares their names."""

    def read(given: Given) -> str | None:
        root = tmp_path_factory.mktemp("lists")
        for name, suffix in given.files.items():
            for path in (root / "images" / (name + suffix), root / "maps" / f"{name}.png"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        (root / "list.txt").write_bytes(given.content)
        try:
            pairs = find_pairs(root / "images", root / "maps", listed=root / "list.txt")
        except (ValueError, OSError) as error:
            if given.names is not None and given.is_sound:
                return f"refused: {error}"
            raise
        names = {pair.name for pair in pairs}
        whole = all(
            (pair.image.name, pair.map.stem)
            == (f"{pair.name}{given.files[pair.name]}".rpartition("/")[2], pair.name.rpartition("/")[2])
            for pair in pairs
        )
        right = whole and (given.is_sound is None or names == given.names)
        return None if right else f"read as {sorted(names)}, meant {given.names}"

    return read


def test_name_lists(use, caplog):
    """A list in any usual form names its images and no others; one that may mean something else is refused."""
    caplog.set_level(logging.ERROR)
    try_all(make, use)
