"""Checks of the fields of a COCO file; an error names entry, field, value and fix."""

import math
from typing import Any, NamedTuple

Id = int | str
Number = int | float

FIELDS = {  # required ones, as sets that keep their order
    "images": dict.fromkeys(("id", "file_name", "height", "width")).keys(),
    "annotations": dict.fromkeys(("image_id", "category_id", "bbox")).keys(),
    "categories": dict.fromkeys(("id", "name")).keys(),
}
NUMBERS = {int, float}
EXACT = 2**53  # below it a float represents every whole number
LARGEST = 2**63  # whole numbers below it fit into int64
MOST_PIXELS = 2**32 - 1  # in an image: COCO's masks count in 32 bits
IDS = "ids are whole numbers below 2 ** 63, or texts in the whole file."
SHOWN = 60  # characters of a wrong value in a message
HINTS = {  # kind of file that a field suggests, where required ones are missing
    "segments_info": "This looks like a panoptic file; give the one of instances (instances_….json).",
    "caption": "This looks like a file of captions; give the one of instances (instances_….json).",
    "coco_url": "This looks like LVIS, whose file_name is the end of its coco_url; write it into each image.",
}
TINY, LARGE = 1e-3, 10  # least and greatest `area` of an object, relative to that of its box


class ImageRecord(NamedTuple):
    """Image in an annotation file.

    Attributes:
        id: id of the image in the file, a number or a text.
        file_name: path below the image folder.
        height: height, pixels.
        width: width, pixels.
    """

    id: Id
    file_name: str
    height: int
    width: int


class Box(NamedTuple):
    """Box of an annotation, with its image, category and crowd flag.

    Attributes:
        image_id: id of its image.
        category_id: id of its category, which may not have been read yet.
        left: left edge, pixels.
        top: upper edge, pixels.
        width: width, pixels.
        height: height, pixels.
        crowd: whether it is a crowd region.
    """

    image_id: Id
    category_id: int
    left: Number
    top: Number
    width: Number
    height: Number
    crowd: bool


def name_of(value: Any, position: int) -> str:
    """Name of an annotation in a message: its id, or else its position in the list."""
    known = value.get("id") if isinstance(value, dict) else None
    return f"annotation {known}" if isinstance(known, int | str) else f"annotations[{position}] (without id)"


def check_keys(value: Any, section: str, position: int) -> None:
    """Raise unless an entry is an object with all required fields.

    Raises:
        ValueError: the entry is no object, or a field is missing.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{section}[{position}] is {shown(value)}, not an object with {list(FIELDS[section])}.")
    if not value.keys() >= FIELDS[section]:
        lacking = [key for key in FIELDS[section] if key not in value]
        hint = next((f" {text}" for key, text in HINTS.items() if key in value), "")
        raise ValueError(
            f"{section}[{position}] lacks {lacking}; every entry of {section} has {[*FIELDS[section]]}.{hint}"
        )


def read_image(value: Any, position: int) -> ImageRecord:
    """Read an entry of `images`.

    Raises:
        ValueError: a field is missing or has an impossible value.
    """
    check_keys(value, "images", position)
    place = f"images[{position}]"
    sides = []
    for key in ("height", "width"):
        side = whole(value[key])
        if side is None or side < 1:
            raise ValueError(
                f"{place} has {key} {shown(value[key])}; write the image's {key} in pixels, a whole number."
            )
        sides.append(side)
    if math.prod(sides) > MOST_PIXELS:
        raise ValueError(f"{place} has {sides[0]} x {sides[1]} pixels (height, width); no image is that large.")
    name = value["file_name"]
    if not is_text(name):
        raise ValueError(f"{place} has file_name {shown(name)}; write the path of the image below the image folder.")
    number = read_id(value["id"])
    if number is None:
        raise ValueError(f"{place} has id {shown(value['id'])}; {IDS}")
    return ImageRecord(number, name, *sides)


def read_category(value: Any, position: int) -> tuple[int, str]:
    """Read id and name of an entry of `categories`; a name that is a number becomes text.

    Raises:
        ValueError: a field is missing or has an impossible value.
    """
    check_keys(value, "categories", position)
    place, name = f"categories[{position}]", value["name"]
    number = whole(value["id"])
    if number is None:
        raise ValueError(f"{place} has id {shown(value['id'])}; ids of categories are whole numbers below 2 ** 63.")
    if is_number(name):
        name = str(name)
    if not is_text(name):
        raise ValueError(f"{place} has name {shown(name)}; write the name of the class as text.")
    return number, name


def read_box(value: Any, position: int) -> Box:
    """Read box, category, image and crowd flag of an entry of `annotations`.

    Raises:
        ValueError: a field is missing or has an impossible value.
    """
    check_keys(value, "annotations", position)
    if not value["bbox"] and value["bbox"] in (None, []) and is_empty(value.get("segmentation")):
        value = value | {"bbox": [0, 0, 0, 0]}  # left over by a tool from a deleted object
    box, category, image_id = value["bbox"], whole(value["category_id"]), read_id(value["image_id"])
    if not isinstance(box, list) or len(box) != 4 or not {*map(type, box)} <= NUMBERS or not is_finite(sum(box)):
        raise ValueError(
            f"{name_of(value, position)} has the box {shown(box)}; a box (bbox) is four numbers, [left, top, width, "
            "height] in pixels."
        )
    if category is None:
        raise ValueError(
            f"{name_of(value, position)} has category_id {shown(value['category_id'])}; write the id of a category, a "
            "whole number."
        )
    if image_id is None:
        raise ValueError(f"{name_of(value, position)} has image_id {shown(value['image_id'])}; {IDS}")
    left, top, width, height = box
    return Box(image_id, category, left, top, width, height, read_crowd(value, position))


def read_crowd(value: dict[str, Any], position: int) -> bool:
    """Whether an annotation is a crowd region: `iscrowd`, which may be missing or null.

    Raises:
        ValueError: `iscrowd` is neither 0 nor 1.
    """
    crowd = value.get("iscrowd")
    if crowd is None or (isinstance(crowd, int | float) and crowd in (0, 1)):
        return bool(crowd)
    raise ValueError(f"{name_of(value, position)} has iscrowd {shown(crowd)}; it is 0 or 1.")


def is_empty(segmentation: Any) -> bool:
    """Whether a segmentation is missing, null or empty, as annotation tools leave some."""
    if isinstance(segmentation, list):
        return not any(part is not None and part != [] for part in segmentation)
    return segmentation in (None, "", {})


def likely_area(value: dict[str, Any]) -> Number | None:
    """`area` of a checked annotation; None if it is missing or impossible for its box."""
    area, (_, _, width, height) = value.get("area"), value["bbox"]
    box = max(width, 0) * max(height, 0)
    return area if area is not None and TINY * box <= area <= LARGE * max(box, 1) else None


def check_area(value: dict[str, Any], position: int) -> None:
    """Raise unless `area` is a number of at least 0, missing or null.

    Raises:
        ValueError: `area` is anything else.
    """
    area = value.get("area")
    if area is not None and not (is_number(area) and is_finite(area) and area >= 0):
        raise ValueError(
            f"{name_of(value, position)} has area {shown(area)}; write the area in pixels, 0 or more, or leave it out "
            "to have it worked out."
        )


def read_id(value: Any) -> Id | None:
    """Id of an image, a whole number or a text; None for any other value."""
    number = whole(value)
    return value if number is None and is_text(value) else number


def is_text(value: Any) -> bool:
    """Whether a value is a text that is not blank and has no lone surrogates."""
    whole_letters = isinstance(value, str) and (value.isascii() or value.encode("utf-8", "ignore").decode() == value)
    return whole_letters and bool(value.strip())


def whole(value: Any) -> int | None:
    """A whole number, also if written as 7.0; None for any other value or beyond `LARGEST`."""
    limit = LARGEST if type(value) is int else EXACT
    if type(value) not in NUMBERS or not -limit < value < limit:
        return None
    number = int(value)
    return number if number == value else None


def is_finite(number: Number) -> bool:
    """Whether a number is neither infinite nor NaN; whole numbers beyond the range of floats count as infinite."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return type(value) in NUMBERS


def shown(value: Any) -> str:
    """Text of a wrong value for a message, cut if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
