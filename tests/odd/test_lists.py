"""Made lists of videos and files of class names, right and wrong, in all forms that people write."""

import logging
import random
import shutil

import pytest

from swinv2.classification.class_files import read_class_file
from tests.odd.made_lists import FILES, NAMES, class_text, encoded, listed
from tests.odd.outcomes import try_all
from video.data.lists import read_class_folders, read_videos
from video.data.naming import read_first, read_names


@pytest.fixture(autouse=True)
def quiet(caplog):
    """What the log tells is not looked at."""
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
def videos(tmp_path):
    """A folder with all files that a list may name."""
    folder = tmp_path / "videos"
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if "." in name else path.mkdir()
    return folder


def read(root, videos, file, classes):
    """Items and class names as training data has them."""
    names = read_names(root, file, classes)
    first = read_first(root, (file, None), classes, names)
    found = read_videos(root / file, videos, names, first)
    return [(item.path.relative_to(videos).as_posix(), item.label) for item in found.items], names, found.missing


def test_lists(tmp_path, videos):
    """A list is read as it was meant, or refused; a wrong one is never taken for a right one."""

    def use(given):
        classes = None if given.classes is None else "names.txt"
        (tmp_path / given.file).write_bytes(given.content)
        (tmp_path / "names.txt").write_text(given.classes or "", encoding="utf-8")
        items, names, missing = read(tmp_path, videos, given.file, classes)
        if given.items is None:
            return None if missing else f"read as {items[:3]} of {names}, though it is wrong"
        if names != given.names:
            return f"the classes {names}, not {given.names}"
        return None if items == given.items else f"the items {items[:3]}, not {given.items[:3]}"

    outcomes = try_all(listed, use)
    assert outcomes["right"] > outcomes["clear error"]


def test_lists_with_damage(tmp_path, videos):
    """Random bytes, other encodings and cut files end in a list or in a message."""

    def make(rng):
        given = listed(rng)
        content = bytearray(given.content)
        kind = rng.choice(("utf-16", "latin-1", "cut", "flip", "zero", "insert", "twice", "deep"))
        place = rng.randrange(len(content) + 1)
        if kind in ("utf-16", "latin-1"):
            content = bytearray(given.content.decode().encode(kind, "replace"))
        elif kind == "cut":
            del content[place:]
        elif kind == "flip":
            for _ in range(rng.choice((1, 5, 50))):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == "zero":
            content[place : place + 9] = bytes(9)
        elif kind == "insert":
            content[place:place] = rng.choice((b'"', b"\x00", b"\xff", b"\xe2\x80\xa8", b",,,,", b"[" * 5000, b"\r"))
        elif kind == "twice":
            content += bytes(content)
        else:
            content = bytearray(b'[{"id":' * rng.choice((10, 3000, 200_000)))
        return given.file, bytes(content), given.classes

    def use(given):
        file, content, classes = given
        (tmp_path / file).write_bytes(content)
        (tmp_path / "names.txt").write_text(classes or "", encoding="utf-8")
        items, names, _ = read(tmp_path, videos, file, None if classes is None else "names.txt")
        known = {name for name in FILES}
        wrong = [item for item in items if item[0] not in known | {""} or not 0 <= item[1] < len(names)]
        return f"items that there are not: {wrong[:3]}" if wrong or len(names) > 100_000 else None

    try_all(make, use)


def test_files_of_class_names(tmp_path):
    """Names come in the order of their labels, whatever the form; wrong files are refused."""

    def make(rng):
        names = rng.sample([name for name in NAMES if name[0] != "#"], rng.randint(2, 9))
        first, text = class_text(rng, names)
        wrong = rng.random() < 0.4
        if wrong:
            rows = text.rstrip("\n").split("\n")
            where = [place for place, row in enumerate(rows) if row.strip() and row[0] != "#"][1:]
            row = rng.choice(where)
            how = rng.choice(("twice", "gap", "no text", "empty"))
            if how == "twice":
                rows.append(rows[row])
            elif how == "gap" and first is not None and len(names) > 2:
                rows = [row for row in rows if str(first + 1) not in row]
            elif how == "empty":
                rows = ["# nothing", ""]
            else:
                rows[row] = "\0" + rows[row]
            text = "\n".join(rows)
        return encoded(rng, "names.txt", text), None if wrong else names, first

    def use(given):
        content, names, first = given
        (tmp_path / "names.txt").write_bytes(content)
        found = read_class_file(tmp_path / "names.txt")
        if names is None:
            return f"read as {found}, though it is wrong"
        return None if found == (names, first) else f"{found}, not {(names, first)}"

    outcomes = try_all(make, use)
    assert outcomes["right"] > outcomes["clear error"]


def test_class_folders(tmp_path):
    """Each folder with videos anywhere below is a class; all its videos are found and nothing else is."""

    def make(rng):
        classes = rng.sample([name.replace("/", " ") for name in NAMES], rng.randint(1, 4))
        files, others = [], ["__MACOSX/run/._a.mp4", "empty/notes.txt", ".hidden/a.mp4", "thumbs/cover.jpg", "list.txt"]
        for label, name in enumerate(sorted(classes)):
            for file in rng.sample([file for file in FILES if "." in file], rng.randint(1, 4)):
                files.append((f"{name}/{rng.choice(('', 'more/', 'more/2/'))}{file}", label))
            frames = rng.random() < 0.4
            others += [f"{name}/frames/{number}.jpg" for number in range(3) if frames]
            files += [(f"{name}/frames", label)] if frames else []
            others += [f"{name}/{other}" for other in rng.sample(("a.txt", "b.srt", "c.xyz", ".d.mp4", "e.jpg"), 2)]
        return sorted(classes), sorted(files), rng.sample(others, len(others) - rng.randrange(3)), rng.random()

    def use(given):
        classes, files, others, _ = given
        folder = tmp_path / "train"
        shutil.rmtree(folder, ignore_errors=True)
        frames = {name for name, _ in files if name.endswith("/frames")}
        if any(sum(other.startswith(f"{name}/") for other in others) == 0 for name in frames):
            return None
        for name in [*(name for name, _ in files if name not in frames), *others]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        found = read_class_folders(folder)
        items = sorted((item.path.relative_to(folder).as_posix(), item.label) for item in found.items)
        if (found.class_names, items) != (classes, files):
            return f"{found.class_names} and {items[:4]}, not {files[:4]}"
        return None

    try_all(make, use)


def test_made_lists_are_of_all_forms():
    """What is tried is of many files, right and wrong, with and without class files."""
    some = [listed(random.Random(seed)) for seed in range(300)]
    assert {given.file for given in some} == {
        "train.txt", "train.csv", "train.lst", "train.tsv", "train.json", "train.jsonl",
    }  # fmt: skip
    assert (
        50 < sum(given.items is None for given in some) < 150 < 300 - sum(given.classes is None for given in some) + 60
    )
