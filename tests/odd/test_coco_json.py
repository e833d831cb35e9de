"""COCO files as tools write them: what is meant is read, what cannot be meant is refused, or left out and said."""

import copy
import json
import logging
import math
import random

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from detection.data.annotations import CocoAnnotations
from detection.evaluation.average_precision import evaluate, summarize
from tests.odd.outcomes import try_all

HEIGHT, WIDTH = 40, 60
JUNK = [
    None,
    "",
    "7",
    -1,
    0,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    -(10**400),
    True,
    [],
    {},
    [[]],
    [1, "2"],
    {"a": None},
]


class Given:
    """A file of rectangles, and what is known of it.

    Attributes:
        content: of the JSON.
        text: of the file, if it is not `content` as JSON.
        truth: left, top, right, bottom and class name of each object, by the annotation's id.
        doubtful: ids of annotations that need not be read.
        legal: whether all of it can be meant, so that it must be read.
    """

    def __init__(self, rng: random.Random) -> None:
        ids = rng.sample(range(1, 500), 4)
        self.truth: dict[int, tuple[list[float], str]] = {}
        self.doubtful: set[int] = set()
        self.legal = True
        self.text: bytes | None = None
        categories = [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]
        images = [{"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in ids]
        annotations = [self.rectangle(rng, number, rng.choice(ids)) for number in range(1, rng.randint(8, 14))]
        self.content = {"images": images, "annotations": annotations, "categories": categories}

    def rectangle(self, rng: random.Random, number: int, image_id: int) -> dict:
        """An annotation."""
        left, top = rng.randrange(2, WIDTH - 9), rng.randrange(2, HEIGHT - 9)
        width, height = rng.randint(4, WIDTH - left), rng.randint(4, HEIGHT - top)
        category = rng.choice((3, 8))
        if any(edges == [left, top, left + width, top + height] for edges, _ in self.truth.values()):
            return self.rectangle(rng, number, image_id)  # boxes tell objects apart
        self.truth[number] = [left, top, left + width, top + height], {3: "cat", 8: "dog"}[category]
        right, bottom = left + width, top + height
        segmentation = [[left, top, right, top, right, bottom, left, bottom]]
        return {
            "id": number, "image_id": image_id, "category_id": category, "bbox": [left, top, width, height],
            "area": width * height, "iscrowd": 0, "segmentation": segmentation,
        }  # fmt: skip

    def __repr__(self) -> str:
        return str(self.text or json.dumps(self.content))


def mask_of(annotation):
    """The rectangle of an annotation as pixels."""
    left, top, width, height = annotation["bbox"]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[top : top + height, left : left + width] = 1
    return mask


def plain_runs(annotation):
    """Its uncompressed run lengths."""
    flat = mask_of(annotation).flatten(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *changes, flat.size]).tolist()}


def compressed_runs(annotation):
    """Its compressed run lengths."""
    return {"size": [HEIGHT, WIDTH], "counts": mask_utils.encode(mask_of(annotation))["counts"].decode()}


def with_segmentation(change):
    """A mutation of the segmentation of one annotation, which then need not be read."""

    def mutate(given, rng):
        annotation = rng.choice(given.content["annotations"])
        given.doubtful.add(annotation["id"])
        annotation["segmentation"] = change(copy.deepcopy(annotation), rng)
        given.legal = False

    return mutate


def harmless(change):
    """A mutation that changes nothing of what is meant."""

    def mutate(given, rng):
        change(given.content, rng)

    return mutate


def each(section, change):
    """A change of every entry of a section."""
    return lambda content, rng: [change(entry) for entry in content[section]]


def one(section, change):
    """A change of one entry of a section."""
    return lambda content, rng: change(rng.choice(content[section]))


def junk_field(given, rng):
    """Any field of any entry becomes anything."""
    section = rng.choice(list(given.content))
    entry = rng.choice(given.content[section])
    field = rng.choice(list(entry))
    entry[field] = copy.deepcopy(rng.choice(JUNK))
    if section == "annotations":
        given.doubtful.add(entry["id"] if field != "id" else 0)
        given.doubtful |= {number for number in given.truth if field == "id"}
    else:
        given.doubtful |= {*given.truth}
    given.legal = False


def missing_field(given, rng):
    """A field is not there."""
    section = rng.choice(list(given.content))
    entry = rng.choice(given.content[section])
    entry.pop(rng.choice(list(entry)))
    given.doubtful |= {*given.truth}
    given.legal = False


def damaged_text(given, rng):
    """The file is cut short or has other bytes in it."""
    text = bytearray(json.dumps(given.content).encode())
    if rng.random() < 0.5:
        del text[rng.randrange(len(text)) :]
    else:
        for _ in range(rng.randint(1, 6)):
            text[rng.randrange(len(text))] = rng.randrange(256)
    given.text, given.doubtful, given.legal = bytes(text), {*given.truth}, False


def placeholder(content, rng):
    """What annotation tools leave of a deleted object."""
    empty = rng.choice([[], None, {}, [[]], ""])
    image_id = content["images"][0]["id"]
    content["annotations"].append(
        {"id": 900, "image_id": image_id, "category_id": 3, "bbox": [0, 0, 0, 0], "area": 0, "segmentation": empty}
    )


def shuffle_sections(content, rng):
    """The lists stand in another order, with others between them."""
    names = rng.sample([*content], len(content))
    old = dict(content)
    content.clear()
    for name in names:
        content[f"info {name}"] = {"text": 'a "] } [ { \\ é', "numbers": [1, [2.5, -1e-3]]}
        content[name] = old[name]


def tables(one):
    """Ids as tables write them."""
    one.update(image_id=float(one["image_id"]), category_id=float(one["category_id"]))


def with_scrap(one):
    """A polygon of two corners beside the good one."""
    if isinstance(one["segmentation"], list):
        one["segmentation"].append([1, 2, 3, 4])


LEGAL = [
    harmless(each("annotations", lambda one: one.update(segmentation=plain_runs(one)))),
    harmless(each("annotations", lambda one: one.update(segmentation=compressed_runs(one)))),
    harmless(one("annotations", lambda one: one.update(segmentation=compressed_runs(one)))),
    harmless(each("annotations", with_scrap)),
    harmless(each("annotations", tables)),
    harmless(each("annotations", lambda one: one.update(bbox=[*map(float, one["bbox"])]))),
    harmless(one("annotations", lambda one: one.update(area=None))),
    harmless(one("annotations", lambda one: one.pop("area", None))),
    harmless(one("annotations", lambda one: one.update(iscrowd=None))),
    harmless(each("annotations", lambda one: one.update(iscrowd=False))),
    harmless(each("annotations", lambda one: one.update(attributes={"é": ["裂纹", None]}, score=None))),
    harmless(each("images", lambda one: one.update(height=float(HEIGHT)))),
    harmless(each("images", lambda one: one.update(file_name=f"フォルダ/{one['file_name']}", license=None))),
    harmless(lambda content, rng: content["categories"].append({"id": 0, "name": 7, "supercategory": None})),
    harmless(lambda content, rng: rng.shuffle(content["annotations"])),
    harmless(lambda content, rng: rng.shuffle(content["categories"])),
    harmless(placeholder),
    harmless(shuffle_sections),
]
ODD = [
    with_segmentation(lambda a, rng: [[]]),
    with_segmentation(lambda a, rng: [a["segmentation"][0][:4]] if isinstance(a["segmentation"], list) else "x"),
    with_segmentation(lambda a, rng: [[1, 2, 3, 4, 5, 6, 7]]),
    with_segmentation(lambda a, rng: [[1, 2], [3, 4], [5, 6], [7, 8]]),
    with_segmentation(lambda a, rng: [[[1, 2], [3, 4], [5, 6]]]),
    with_segmentation(lambda a, rng: [1, 2, 30, 4, 5, 36]),
    with_segmentation(lambda a, rng: [plain_runs(a)]),
    with_segmentation(lambda a, rng: [[1, 2, 3, 4, rng.choice(JUNK), 6]]),
    with_segmentation(lambda a, rng: [[rng.choice([2e8, -3e9, 1e300, math.nan]), 2, 3, 4, 5, 6]]),
    with_segmentation(lambda a, rng: [[9, 9, 9, 9, 9, 9]]),
    with_segmentation(lambda a, rng: plain_runs(a) | {"counts": plain_runs(a)["counts"][:-1]}),
    with_segmentation(lambda a, rng: plain_runs(a) | {"counts": [HEIGHT * WIDTH + 5, -5]}),
    with_segmentation(lambda a, rng: plain_runs(a) | {"counts": rng.choice(JUNK)}),
    with_segmentation(lambda a, rng: plain_runs(a) | {"size": rng.choice([*JUNK, [WIDTH, HEIGHT], [HEIGHT], [0, 0]])}),
    with_segmentation(lambda a, rng: compressed_runs(a) | {"counts": compressed_runs(a)["counts"][:-1]}),
    with_segmentation(lambda a, rng: compressed_runs(a) | {"counts": str(compressed_runs(a)["counts"].encode())}),
    with_segmentation(lambda a, rng: compressed_runs(a) | {"counts": "".join(rng.choices("0123oOPQbXYé'\x00", k=9))}),
    with_segmentation(lambda a, rng: compressed_runs(a) | {"counts": "o" * 40}),
    with_segmentation(lambda a, rng: {"counts": [1]}),
    with_segmentation(lambda a, rng: rng.choice(["polygon", 3, True, {"size": [HEIGHT, WIDTH]}])),
    junk_field, junk_field, junk_field, junk_field, missing_field, damaged_text,
]  # fmt: skip


def make(rng):
    """A file with up to three changes."""
    given = Given(rng)
    for mutate in rng.sample(LEGAL, rng.randint(0, 2)) + rng.sample(ODD, rng.choice((0, 1, 1, 2))):
        try:
            mutate(given, rng)
        except (KeyError, TypeError, AttributeError, ValueError):  # one change has taken away what the next needs
            given.legal, given.doubtful = False, {*given.truth}
    return given


@pytest.fixture
def use(tmp_path, caplog):
    """Reads a file and compares what comes out with the truth."""
    path = tmp_path / "annotations.json"

    def read(given):
        caplog.clear()
        path.write_bytes(given.text or json.dumps(given.content, ensure_ascii=len(given.truth) % 2 == 0).encode())
        try:
            annotations = CocoAnnotations(path)
        except ValueError as error:
            if given.legal:
                return f"refused what is right: {error}"
            raise
        return differences(given, annotations, bool(caplog.records))

    with caplog.at_level(logging.WARNING):
        yield read


def differences(given, annotations, said):
    """What differs between the truth and what was read, if anything."""
    found = {}
    for image_id in annotations.images:
        target = annotations.target(image_id, with_regions=True)
        numbers = [one.get("id") for one in annotations.of_image(image_id)]
        for place, (box, label) in enumerate(zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True)):
            key = next((n for n, (edges, _) in given.truth.items() if edges == box), None)
            if key is None and not given.doubtful:
                return f"a box that is none: {box} among {numbers}"
            found[key] = box, annotations.class_names[label]
            if "regions" in target and key not in (None, *given.doubtful):
                region = target["regions"][place]
                edges = [region.left, region.top, region.left + region.pixels.shape[1], region.top + len(region.pixels)]
                if edges != box or not region.pixels.all():
                    return f"another mask: {edges} of {box}"
    for number, truth in given.truth.items():
        if number in given.doubtful and found.get(number) in (None, truth):
            continue
        if number not in given.doubtful and found.get(number) != truth:
            return f"annotation {number}: {found.get(number)} for {truth}"
    crowds = {one.get("id") for i in annotations.images for one in annotations.of_image(i) if one["iscrowd"]}
    if any(number not in found and number not in crowds for number in given.truth) and not said:
        return "objects are left out without a word"
    return scored(annotations)


def scored(annotations):
    """Whether the truth itself scores 1 where there is something to find; the evaluation must come to an end."""
    results = {}
    for image_id in annotations.images:
        ones = [one for one in annotations.of_image(image_id) if not one["iscrowd"]]
        results[image_id] = [
            {"image_id": image_id, "category_id": one["category_id"], "bbox": one["bbox"], "score": 0.9}
            | ({"segmentation": annotations.encode(one)} if "segmentation" in one else {})
            for one in ones
            if "segmentation" in one or not annotations.has_masks
        ]
    for kind in ("box", "mask")[: 1 + annotations.has_masks]:
        score = summarize(evaluate(annotations, results, kind))["AP"]
        if kind == "mask" and not (math.isnan(score) or score > 0.99):
            return f"the truth scores {score} by its masks"
    return None


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_files_of_rectangles(use):
    """Files of rectangles in every form that is meant, and in forms that are not."""
    outcomes = try_all(make, use)
    assert outcomes["right"] and outcomes["clear error"]
