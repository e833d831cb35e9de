"""Lists of videos and files of class names in all forms that people write, with what is right for them."""

import csv
import io
import json
import random
from typing import NamedTuple

FILES = (
    *("a.mp4", "b c.avi", "#20_Rhythm.avi", "über.mkv", "走る 1.webm", "x,y.mp4", "semi;colon.mkv", "o'clock.mov"),
    *("pipe|d.mp4", "sub/dir/deep 2.mp4", "12.mp4", "v1.5.avi", "label.mp4", "frames/7", "UPPER.MP4", "-dash_.webm"),
    *("tab.3gp", 'quo"te.mp4', "path.mts", "a 3 4.mp4", "nan.mp4", "naïve/é.mp4", "%d.mp4", "con.mp4.avi", "x  y.flv"),
)
NAMES = (
    *("walk", "run fast", "#tag", "走る", "Abseiling", "3-point shot", "naïve", "it's", "jump, high", "a;b", "x|y"),
    *("push up", "labelled", "e4", "over-head", "pull 2 ups", "do/undo", "C++", "à la carte", "50%", "No", "inf."),
)
PATHS = ("path", "video_path", "File Name", "videoName", "clip", "ID", "Filename", "video")
LABELS = ("label", "Class", "class_id", "tag", "Category", "action", "Label Name", "target")
EXTRA = ("fps", "duration", "split", "width", "num_frames")
UNKNOWN = (("Datei", "Klasse"), ("vidéo", "étiquette"), ("动作视频", "类别"), ("foo", "bar"))
LINE_ENDS = ("\n", "\n", "\r\n")

Rows = list[tuple[str, str]]  # a path and a label as they are written


class Listed(NamedTuple):
    """A made list.

    Attributes:
        file: its name.
        content: of it.
        classes: content of a file of class names, if there is one.
        items: files and labels that it lists; None if it is to be refused.
        names: of the classes.
    """

    file: str
    content: bytes
    classes: str | None
    items: list[tuple[str, int]] | None
    names: list[str]


def listed(rng: random.Random) -> Listed:
    """A list of numbers or names, with or without a class file; some are wrong somewhere."""
    form = rng.choice(("lines", "table", "json", "kinetics"))
    named = form == "kinetics" or (form != "lines" and rng.random() < 0.5)
    names = sorted(rng.sample(NAMES, rng.randint(2, 6)))
    files = rng.sample(FILES, rng.randint(len(names), len(names) + 8))
    labels = [*range(len(names)), *(rng.randrange(len(names)) for _ in files[len(names) :])]
    first, classes = class_text(rng, names) if rng.random() < 0.5 else (None, None)
    base = 1 if not named and first == 1 and rng.random() < 0.7 else 0
    rows = [(file, names[label] if named else str(label + base)) for file, label in zip(files, labels, strict=True)]
    items: list[tuple[str, int]] | None = [*zip(files, labels, strict=True)]
    if rng.random() < 0.3:
        items, rows = None, spoilt(rng, rows, named, classes, len(names))
    elif not named and classes is None:
        names = [f"class {label}" for label in range(len(names))]
    file, text = written(rng, form, rows, named)
    return Listed(file, encoded(rng, file, text), classes, items, names)


def spoilt(rng: random.Random, rows: Rows, named: bool, classes: str | None, count: int) -> Rows:
    """Rows of which one is wrong, or all are."""
    if not named and classes is not None and rng.random() < 0.3:
        return [(file, str(int(label) + count)) for file, label in rows]  # labels beyond the classes
    place = rng.randrange(len(rows))
    changed = ("", rows[place][1])
    if rng.random() < 0.8:
        changed = (rows[place][0], rng.choice(("", "-1", "1.5", "nan", "1e30", "9" * 30, "9" * 5000, "NULL", "-inf")))
    return [*rows[:place], changed, *rows[place + 1 :]]


def written(rng: random.Random, form: str, rows: Rows, named: bool) -> tuple[str, str]:
    """Name and text of a list."""
    if form == "lines":
        return rng.choice(("train.txt", "train.csv", "train.lst")), lines(rng, rows)
    if form == "table":
        return rng.choice(("train.csv", "train.csv", "train.tsv", "train.txt")), table(rng, rows, named)
    if form == "json":
        return json_list(rng, rows, named)
    return "train.csv", kinetics(rng, rows)


def lines(rng: random.Random, rows: Rows) -> str:
    """A path and a number a line, parted by blanks; in between may be the length of a folder of frames."""
    sign = rng.choice((" ", " ", "\t", "   "))
    heading = rng.choice(("", "", "path label"))
    length = rng.random() < 0.2 and all(
        file and label for file, label in rows
    )  # else this would be taken for the label
    middle = f"{rng.randrange(500)}{sign}" if length else ""
    found = [f"{file}{sign}{middle}{label}" for file, label in rows]
    return joined(rng, [*([heading] if heading else []), *found])


def table(rng: random.Random, rows: Rows, named: bool) -> str:
    """A table as the csv module writes it, with known headings and any columns, other headings, or none."""
    sign, kind = rng.choice(",,;|\t"), rng.choice(("known", "known", "unknown", "none"))
    extra = rng.sample(EXTRA, rng.randint(0, 3)) if kind == "known" else []
    columns = ["path", "label", *extra]
    if kind == "known":
        rng.shuffle(columns)
    heading = {"path": rng.choice(PATHS), "label": rng.choice(LABELS), **{one: one for one in extra}}
    if kind == "unknown" and named and not all("." in file for file, _ in rows):
        kind = "known"  # nobody could know that the first line are headings
    if kind == "unknown":
        heading["path"], heading["label"] = rng.choice(UNKNOWN)
    cells = [{"path": file, "label": label, **{one: str(rng.randrange(99)) for one in extra}} for file, label in rows]
    text = io.StringIO()
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(text, delimiter=sign, quoting=quoting, lineterminator="\n")
    if kind != "none":
        writer.writerow([heading[column] for column in columns])
    writer.writerows([row[column] for column in columns] for row in cells)
    return joined(rng, text.getvalue().splitlines())


def kinetics(rng: random.Random, rows: Rows) -> str:
    """The CSV of Kinetics, whose ids are here the names of files; times may be no numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
    times = (("1", "11"), ("", ""), ("NaN", "x"), ("inf", "2"), ("1e400", "-1"))
    writer.writerows([label, file, *rng.choice(times), "train"] for file, label in rows)
    return text.getvalue()


def json_list(rng: random.Random, rows: Rows, named: bool) -> tuple[str, str]:
    """JSON of objects, of pairs, or by id."""
    path, label = rng.choice(("id", "video", "path", "filename")), rng.choice(("label", "template", "class", "action"))
    numbers = not named and rng.random() < 0.5
    values = [int(one) if numbers and one.isdecimal() and len(one) < 9 else one for _, one in rows]
    if label == "template":
        values = [f"[{one}]" if isinstance(one, str) and one else one for one in values]
    files = [file for file, _ in rows]
    objects = [{path: file, label: value, "frames": 9} for file, value in zip(files, values, strict=True)]
    kind = rng.choice(("list", "pairs", "by id", "database", "lines"))
    if kind == "lines":
        return "train.jsonl", joined(rng, [json.dumps(one, ensure_ascii=rng.random() < 0.5) for one in objects])
    content: object = objects
    if kind == "pairs":
        content = [[file, value] for file, value in zip(files, values, strict=True)]
    if kind == "by id":
        content = {file: {label: value, "subset": "train"} for file, value in zip(files, values, strict=True)}
    if kind == "database":
        content = {"version": "1.0", "taxonomy": [], "database": {str(place): one for place, one in enumerate(objects)}}
    return "train.json", json.dumps(content, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 2)))


def joined(rng: random.Random, rows: list[str]) -> str:
    """Lines with comments, empty lines and blanks at their ends now and then."""
    found = []
    for row in rows:
        if rng.random() < 0.05 and found:
            found.append(rng.choice(("", "   ", "# a remark 3", "#", "## more 1")))
        found.append(row + rng.choice(("", "", "", " ", "  ")))
    return "\n".join(found) + rng.choice(("", "\n", "\n\n"))


def encoded(rng: random.Random, file: str, text: str) -> bytes:
    """Text as bytes, with or without byte order mark, in any line ends."""
    mark = "\ufeff" if rng.random() < 0.15 else ""
    return (mark + text.replace("\n", rng.choice(LINE_ENDS))).encode()


def class_text(rng: random.Random, names: list[str]) -> tuple[int | None, str]:
    """The first number in a file of class names, if it has numbers, and its content."""
    first, numbered = rng.choice((0, 1)), [*enumerate(names)]
    rng.shuffle(numbered)
    form = rng.choice(("plain", "numbered", "numbered", "table", "backwards"))
    plain_names = [name for name in names if name[0] not in "#"]
    if form == "plain" or len(plain_names) < len(names):
        return None, joined(rng, names)
    if form == "numbered":
        sign = rng.choice((" ", "\t", ", ", ": ", ";"))
        return first, joined(rng, [f"{number + first}{sign}{name}" for number, name in numbered])
    text = io.StringIO()
    writer = csv.writer(text, delimiter=rng.choice(",;\t"), lineterminator="\n", quoting=csv.QUOTE_ALL)
    if form == "table":
        columns = [rng.choice(("name", "class_name", "label name")), rng.choice(("id", "index", "label_id"))]
        writer.writerow(columns)
    writer.writerows((name, number + first) for number, name in numbered)
    return first, joined(rng, text.getvalue().splitlines())
