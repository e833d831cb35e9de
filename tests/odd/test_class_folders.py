"""Class folders as people have them: the images in them have the labels of their folders, and all else is told."""

import logging
import random
import unicodedata
from typing import NamedTuple

import pytest

from swinv2.classification.data.folders import class_folders, read_class_folders
from swinv2.imaging.decoding.formats import SUFFIXES
from tests.odd.outcomes import try_all

CLASSES = [
    *(
        "cat",
        "dog",
        "Dog",
        "n01440764",
        "caf\u00e9",
        "道路",
        "🚗",
        "two words",
        "a.b",
        "#1",
        "C++",
        "x.jpg",
        "train",
        "_",
    ),
    *("README", "Thumbs.db", "-v", "\u00fc\u0308ber", "é", "'quoted'", "100%"),
]
NUMBERS = ["0", "1", "2", "10", "11", "007", "3"]
BESIDE = ["notes.txt", "labels.csv", "Thumbs.db", "info.json", ".DS_Store", "._a.jpg", "desktop.ini", "classes.xml"]
NOT_READ = ["a.cr2", "b.psd", "c.svg", "noname", "d.gif", "e.mp4", "f.npy", "g.jpg.part"]


class Given(NamedTuple):
    """A folder of classes for training, and one for validation.

    Attributes:
        train: paths of files.
        val: likewise.
        classes: folders that have images, in the order of their labels; None if training is to be refused.
        refused: whether validation is to be refused.
    """

    train: list[str]
    val: list[str]
    classes: list[str] | None
    refused: bool


def images_of(rng, name):
    """Paths of the images of a class, in the folder itself or in others in it."""
    folders = rng.choice([[""], [""], ["", "images/"], ["deep/er/", ""], ["images/"]])
    stems = rng.sample(["a", "b", "1", "ü", "c d", "e.f", "IMG_2"], rng.randint(1, 4))
    return [f"{name}/{rng.choice(folders)}{stem}{rng.choice([*SUFFIXES, '.JPG', '.JPEG'])}" for stem in stems]


def clutter(rng, folders):
    """What lies about beside images: leftovers, hidden folders, and folders without images."""
    found = [
        f"{rng.choice(['', *(f'{one}/' for one in folders)])}{rng.choice(BESIDE)}" for _ in range(rng.choice([0, 1, 3]))
    ]
    found += rng.sample(
        ["__MACOSX/cat/._a.jpg", "__MACOSX/a.jpg", ".cache/x.jpg", ".ipynb_checkpoints/a-checkpoint.jpg"],
        rng.choice([0, 0, 1, 2]),
    )
    return found + rng.sample(["empty/", "nothing/in/it/", "texts/readme.txt", "raw/x.txt"], rng.choice([0, 0, 1, 2]))


def make(rng: random.Random) -> Given:
    """Two folders of classes, one in four with something that is to be refused."""
    names = rng.sample(NUMBERS if rng.random() < 0.2 else CLASSES, rng.randint(1, 6))
    train = [path for name in names for path in images_of(rng, name)]
    shown = [name for name in names if rng.random() < 0.8] or names
    val = [path for name in shown for path in images_of(rng, name)]
    if rng.random() < 0.3:  # one of the two comes from a Mac
        val = [unicodedata.normalize("NFD", path) for path in val]
    classes = sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)
    number = len(train)
    train += clutter(rng, names)
    val += clutter(rng, shown)
    how = rng.randrange(12)
    if how == 0:
        train += [f"{names[0]}/{at}{name}" for at in range(number) for name in rng.sample(NOT_READ, 2)]
        return Given(train, val, None, False)
    if how == 1:
        return Given([name for name in train if not name.lower().endswith(SUFFIXES)] + ["x/y.txt"], val, None, False)
    if how == 2:
        return Given(train, [*val, "a class of its own/x.jpg"], classes, True)
    if how == 3:  # half of the pictures or less are not read
        train += [f"{names[0]}/{rng.choice(NOT_READ)}"]
    if how == 4:  # notes and other forms of the same image are no lost pictures
        train += [f"{path.rpartition('.')[0]}{end}" for path in train[:number] for end in (".npy", ".json", ".cr2")]
    return Given(train, val, classes, False)


@pytest.fixture
def use(tmp_path_factory):
    """Makes the folders, reads both, and compares files and labels."""

    def read(given: Given) -> str | None:
        root = tmp_path_factory.mktemp("folders")
        for split, paths in (("train", given.train), ("val", given.val)):
            for path in paths:
                place = root / split / path
                (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
                if not path.endswith("/"):
                    place.touch()
        try:
            names = class_folders(root / "train")
            items = read_class_folders(root / "train", names)
        except (ValueError, OSError) as error:
            if given.classes is not None:
                return f"refused: {error}"
            raise
        if given.classes is None:
            return f"read as {names}"
        if names != given.classes:
            return f"classes {names}, meant {given.classes}"
        wrong = compare(items, given.train, names)
        if wrong:
            return wrong
        scored = read_class_folders(root / "val", names)
        return "not refused" if given.refused else compare(scored, given.val, names)

    return read


def compare(items, paths, names):
    """What is wrong with the images of a split; None if nothing is."""
    composed = [unicodedata.normalize("NFC", name) for name in names]
    wanted = {
        path: composed.index(unicodedata.normalize("NFC", path.partition("/")[0]))
        for path in paths
        if path.lower().endswith(SUFFIXES) and "/." not in f"/{path}" and not path.startswith("__MACOSX/")
    }
    found = dict(zip(items.files, items.labels.tolist(), strict=True))
    return None if found == wanted else f"read as {found}, meant {wanted}"


def test_class_folders(use, caplog):
    """Images are found wherever they are in the folder of their class, with its label, in training and validation."""
    caplog.set_level(logging.CRITICAL)
    try_all(make, use)
