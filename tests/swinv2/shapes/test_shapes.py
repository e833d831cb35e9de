"""The sample data: deterministic, in the real formats, true to its pictures, complete or not there."""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from torchvision.datasets import ImageFolder

from swinv2.files.whole import HOST
from swinv2.shapes import TASKS, build, coco, make_classification, make_detection, make_video, write_shapes
from swinv2.shapes.ade20k import CLASSES
from swinv2.shapes.coco import CATEGORY_IDS, CROWDED, EMPTY, SEMANTIC_CLASSES, polygons, run_lengths
from swinv2.shapes.drawing import KINDS
from swinv2.shapes.kinetics import FRAMES, MOTIONS, PLACES, clip
from swinv2.shapes.scenes import scene

TRAIN, VAL, SIZE = 24, 8, 64


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """All four data sets, small."""
    return write_shapes(tmp_path_factory.mktemp("shapes"), train=TRAIN, val=VAL, size=SIZE)


@pytest.fixture(scope="module")
def annotated(root) -> COCO:
    """The training annotations of the detection data."""
    return COCO(root / "detection/annotations/instances_train.json")


def digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """Digest of each file under a folder, by its path in there."""
    files = (path for path in folder.rglob(pattern) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(path: Path) -> np.ndarray:
    """A picture as it is on disk."""
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_same_seed_same_files(root, tmp_path):
    """Making the data a second time gives the same bytes in every file."""
    assert digests(write_shapes(tmp_path, train=TRAIN, val=VAL, size=SIZE)) == digests(root)


def test_other_seed_other_pictures(root, tmp_path):
    """No picture is the same under another seed."""
    make_classification(tmp_path / "other", TRAIN, VAL, SIZE, seed=1)
    first, second = digests(root / "classification", "*.jpg"), digests(tmp_path / "other", "*.jpg")
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_pictures_do_not_depend_on_their_number(root, tmp_path):
    """A smaller data set is the beginning of a larger one."""
    make_classification(tmp_path / "few", 6, 2, SIZE)
    assert digests(tmp_path / "few", "*.jpg").items() <= digests(root / "classification", "*.jpg").items()


def test_splits_share_no_picture(root):
    """No picture of the training split is in the validation split."""
    train, val = (digests(root / "detection" / split) for split in ("train", "val"))
    assert not set(train.values()) & set(val.values())


def test_image_folder_is_balanced(root):
    """Torchvision's ImageFolder reads the four kinds, as many of each, at the asked size."""
    images = ImageFolder(root / "classification/train")
    assert tuple(images.classes) == KINDS
    assert set(Counter(images.targets).values()) == {TRAIN // 4}
    assert images[0][0].size == (SIZE, SIZE)


def test_coco_names_every_picture(root, annotated):
    """Each picture of the split is listed, under its name and size."""
    listed = {image["file_name"] for image in annotated.dataset["images"]}
    assert listed == {path.name for path in (root / "detection/train").iterdir()}
    assert all(read(root / "detection/train" / name).shape == (SIZE, SIZE, 3) for name in listed)


def test_coco_has_its_sections(annotated):
    """The file has all sections of a COCO file, and category ids with gaps."""
    assert annotated.dataset.keys() == {"info", "licenses", "categories", "images", "annotations"}
    assert {category["id"]: category["name"] for category in annotated.dataset["categories"]} == dict(
        zip((1, 3, 7, 18), KINDS, strict=True)
    )


def test_boxes_and_areas_are_those_of_the_masks(annotated):
    """Box and area of each object, crowds too, are those of the mask that pycocotools decodes."""
    for annotation in annotated.dataset["annotations"]:
        code = annotated.annToRLE(annotation)
        assert annotation["bbox"] == coco_mask.toBbox(code).tolist()
        assert annotation["area"] == coco_mask.area(code)


def test_some_pictures_have_no_objects(annotated):
    """One picture in twenty has no objects."""
    empty = [image for image in annotated.getImgIds() if not annotated.getAnnIds([image])]
    assert empty == [EMPTY + 1, EMPTY + 21]


def test_crowd_is_run_lengths(annotated):
    """One picture in twenty has a crowd, as run lengths that cover the picture."""
    (crowd,) = annotated.loadAnns(annotated.getAnnIds(iscrowd=True))
    assert crowd["image_id"] == CROWDED + 1
    assert crowd["segmentation"]["size"] == [SIZE, SIZE]
    assert sum(crowd["segmentation"]["counts"]) == SIZE * SIZE


def test_semantic_maps_fit_their_pictures(root):
    """Each picture has an 8-bit map of its size; all classes, and no others, come up."""
    seen = set()
    for split in ("train", "val"):
        pictures = {path.stem for path in (root / "detection" / split).iterdir()}
        maps = {path.stem: read(path) for path in (root / "detection/semantic" / split).iterdir()}
        assert maps.keys() == pictures
        assert {(one.dtype, one.shape) for one in maps.values()} == {(np.dtype(np.uint8), (SIZE, SIZE))}
        seen |= set(np.unique(np.stack(list(maps.values()))).tolist())
    assert seen == set(range(len(SEMANTIC_CLASSES)))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # NumPy 2 about the inside of pycocotools
def test_semantic_maps_have_the_classes_of_the_objects(root, annotated):
    """The class of an object's pixels, crowds too, is that of the object, and a texture wherever there is none."""
    kinds = {number: SEMANTIC_CLASSES.index(kind) for kind, number in CATEGORY_IDS.items()}
    for image in annotated.dataset["images"]:
        classes = read(root / "detection/semantic/train" / image["file_name"].replace("jpg", "png"))
        expected = np.zeros((SIZE, SIZE), int)
        for annotation in annotated.imgToAnns[image["id"]]:
            expected[annotated.annToMask(annotation) > 0] = kinds[annotation["category_id"]]
        assert np.array_equal(np.where(classes < 4, 0, classes), expected)


def test_missing_semantic_maps_are_added(root, tmp_path):
    """Data that were made before there were semantic maps get them, and stay as they are otherwise."""
    shutil.copytree(root / "detection", tmp_path / "detection")
    shutil.rmtree(tmp_path / "detection/semantic")
    make_detection(tmp_path / "detection", TRAIN, VAL, SIZE)
    assert digests(tmp_path / "detection") == digests(root / "detection")


@pytest.mark.parametrize("size", [32, 128])
def test_polygons_are_the_visible_mask(size):
    """Rasterised polygons are the visible pixels, of shapes in one or several parts."""
    masks = [one.mask for seed in range(40) for one in scene(np.random.default_rng(seed), size).instances]
    outlines = [polygons(mask) for mask in masks]
    assert {len(parts) for parts in outlines} >= {1, 2}
    for mask, parts in zip(masks, outlines, strict=True):
        assert rasterised(parts, size, size) == encoded(mask)


def rasterised(parts: list[list[float]], height: int, width: int) -> dict:
    """Compressed run lengths of polygons, by pycocotools."""
    return coco_mask.merge(coco_mask.frPyObjects(parts, height, width))


def encoded(mask: np.ndarray) -> dict:
    """Compressed run lengths of a mask, by pycocotools."""
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def test_polygons_leave_holes_open():
    """A mask with holes is cut into polygons that leave the holes open."""
    mask = np.zeros((20, 30), bool)
    mask[2:18, 3:27] = True
    mask[5:9, 6:10] = mask[7:15, 15] = mask[12:14, 16:20] = False
    assert rasterised(polygons(mask), *mask.shape) == encoded(mask)


@pytest.mark.parametrize("first", [False, True])
def test_run_lengths_are_cocos(first):
    """Run lengths are those of the mask, whether or not its first pixel is set."""
    mask = np.random.default_rng(0).random((5, 7)) < 0.5
    mask[0, 0] = first
    code = {"size": list(mask.shape), "counts": run_lengths(mask)}
    assert coco_mask.frPyObjects(code, *mask.shape) == encoded(mask)


def test_masks_do_not_overlap_and_half_shows():
    """No pixel belongs to two shapes, and half or more of each shape shows, also where others cover it."""
    covered = 0
    for seed in range(40):
        instances = scene(np.random.default_rng(seed), SIZE, crowd=True).instances
        assert np.sum([one.mask for one in instances], axis=0).max() == 1
        visible = np.array([one.mask.sum() / one.whole for one in instances if not one.crowd])
        assert visible.min() >= 0.5
        covered += (visible < 0.9).sum()
    assert covered >= 20


def test_colours_are_typical_but_varied():
    """The mean hues of a kind's shapes lie about its typical hue, spread over tens of degrees."""
    hues = []
    for seed in range(150):
        made = scene(np.random.default_rng(seed), 32)
        hsv = cv2.cvtColor(made.image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        hues += [np.median(hsv[one.mask, 0]) for one in made.instances if one.kind == "rectangle"]
    assert 205 < np.median(hues) < 225
    assert 30 < np.ptp(np.percentile(hues, [5, 95])) < 70


def test_ade20k_maps_fit_their_pictures(root):
    """Each index map is uint8, as large as its picture, with 0 (some pixels) and the listed classes only."""
    seen = set()
    for split, count in (("training", TRAIN), ("validation", VAL)):
        images = sorted((root / "segmentation/images" / split).iterdir())
        assert len(images) == count
        for image in images:
            classes = read(root / "segmentation/annotations" / split / f"{image.stem}.png")
            assert classes.dtype == np.uint8
            assert classes.shape == read(image).shape[:2]
            seen |= set(np.unique(classes).tolist())
    assert seen == set(range(len(CLASSES) + 1))


def test_ade20k_class_list_counts_pictures(root):
    """The class list has ADE20K's columns; shares and numbers of pictures are those of the maps."""
    head, *rows = (root / "segmentation/objectInfo.txt").read_text().splitlines()
    assert head.split("\t") == ["Idx", "Ratio", "Train", "Val", "Stuff", "Name"]
    assert tuple(row.split("\t")[-1] for row in rows) == CLASSES
    maps = [
        np.stack([read(path) for path in (root / "segmentation/annotations" / split).iterdir()])
        for split in ("training", "validation")
    ]
    for index, row in enumerate(rows, start=1):
        has = [classes == index for classes in maps]
        ratio = sum(pixels.sum() for pixels in has) / sum(classes.size for classes in maps)
        seen = "\t".join(str(pixels.any(axis=(1, 2)).sum()) for pixels in has)
        assert row.startswith(f"{index}\t{ratio:.4f}\t{seen}\t{int(index <= 4)}\t")


def test_lists_name_every_clip(root):
    """The lists give path and label of every clip, as many of each class."""
    assert (root / "video/classes.txt").read_text().splitlines() == ["left", "right", "fast left", "fast right"]
    for split, count in (("train", TRAIN), ("val", VAL)):
        rows = [line.split(" ") for line in (root / f"video/{split}.txt").read_text().splitlines()]
        assert Counter(label for _, label in rows) == dict.fromkeys("0123", count // 4)
        assert {root / "video" / path for path, _ in rows} == set((root / "video" / split).iterdir())


def test_clips_decode_to_their_frames(root):
    """A clip decodes to all of its frames, close to what was drawn."""
    capture = cv2.VideoCapture(str(root / "video/train/00000001.mp4"))
    frames = []
    while (grabbed := capture.read())[0]:
        frames.append(cv2.cvtColor(grabbed[1], cv2.COLOR_BGR2RGB))
    drawn = clip(build.Plan("video", TRAIN, VAL, SIZE, 0).rng("train", 1), SIZE, "right")
    assert len(frames) == FRAMES
    assert np.abs(np.float32(frames) - np.float32(drawn)).mean() < 6


def test_first_frame_is_the_same_for_every_motion():
    """Clips of different classes that start from the same randomness have the same first frame."""
    first = [clip(np.random.default_rng(5), 32, motion)[0] for motion in MOTIONS]
    assert all(np.array_equal(frame, first[0]) for frame in first)


def places(frames: list[np.ndarray]) -> np.ndarray:
    """Mean place of the moving shape in each frame, on the circle of either axis: (frames, [x, y]), complex."""
    video = np.float32(frames)
    moving = np.abs(video - np.median(video, axis=0)).max(axis=3) > 40  # (frames, h, w)
    turns = np.exp(2j * np.pi * np.arange(len(frames[0])) / len(frames[0]))
    return np.stack([moving.sum(axis=1) @ turns, moving.sum(axis=2) @ turns], axis=1)


@pytest.mark.parametrize(("motion", "step"), MOTIONS.items())
def test_class_shows_in_the_motion_only(motion, step):
    """The shape is anywhere in a frame of any class, and moves as the name of the class says."""
    clips = np.stack([places(clip(np.random.default_rng(seed), 34, motion)) for seed in range(60)])
    units = clips / np.maximum(np.abs(clips), 1e-9)  # (clips, frames, [x, y])
    assert np.abs(units[:, [0, FRAMES // 2, FRAMES - 1]].mean(axis=0)).max() < 0.35
    moves = np.angle(np.sum(clips[:, 1:] * clips[:, :-1].conj(), axis=1)) * PLACES / (2 * np.pi)  # (clips, [x, y])
    assert np.median(np.abs(moves - [step, 0]), axis=0).max() < 0.3


def test_shuffled_frames_are_the_same_for_every_motion():
    """Seventeen frames in a row are the same pictures in every class; only their order differs."""
    sets = [{frame.tobytes() for frame in clip(np.random.default_rng(7), 34, motion)[3:20]} for motion in MOTIONS]
    assert all(len(frames) == PLACES and frames == sets[0] for frames in sets)


def test_interrupted_data_is_not_there(tmp_path, monkeypatch):
    """Data whose making was interrupted leaves nothing behind, and is made from the start at the next call."""
    pictures = iter(range(5))
    with monkeypatch.context() as patch:
        patch.setattr(coco, "save_image", lambda *_: next(pictures))
        with pytest.raises(StopIteration):
            make_detection(tmp_path / "detection", 8, 2, 32)
    assert not list(tmp_path.iterdir())
    assert len(list((make_detection(tmp_path / "detection", 8, 2, 32) / "train").iterdir())) == 8


def test_what_a_killed_process_had_begun_is_removed(tmp_path):
    """By the next one that makes the same data."""
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / f".detection.{HOST}.{dead.stdout.strip()}.{'0' * 32}.part/train").mkdir(parents=True)
    write_shapes(tmp_path, ["detection"], train=1, val=1, size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["detection"]


def test_folder_that_cannot_be_made_is_named(tmp_path):
    """With what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Sample data cannot be made in .*file.detection \(.*make room there, or choose"):
        write_shapes(tmp_path / "file", ["detection"], train=1, val=1, size=32)


def test_complete_data_is_used_as_it_is(tmp_path, caplog):
    """Data that is there already is not made again."""
    make_classification(tmp_path / "data", 4, 4, 32)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with caplog.at_level(logging.INFO, "swinv2.shapes"):
        assert make_classification(tmp_path / "data", 4, 4, 32) == tmp_path / "data"
    assert "is there already" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_two_processes_may_make_the_same_data(tmp_path):
    """When two make the same data at the same time, both find it complete and nothing else is left."""
    both, plan = threading.Barrier(2, timeout=10), build.Plan("detection", 2, 1, 32, 0)

    def write(folder: Path, plan: build.Plan) -> None:
        coco.write_detection(folder, plan)
        both.wait()

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(build.make_once, tmp_path / "data", plan, write) for _ in range(2)]
        assert [run.result() for run in runs] == [tmp_path / "data"] * 2
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
    assert build.is_made(tmp_path / "data", plan)


def test_empty_folder_is_filled(tmp_path):
    """A folder that is there but empty is filled."""
    (tmp_path / "data").mkdir()
    assert (make_classification(tmp_path / "data", 1, 1, 32) / "val/circle/00000000.jpg").exists()


def test_data_of_other_parameters_is_an_error(tmp_path):
    """Data made with other parameters is neither used nor overwritten; the message names both."""
    make_classification(tmp_path / "data", 1, 1, 32)
    with pytest.raises(FileExistsError, match=r"'size': 32.*'size': 64.*delete the folder or choose another"):
        make_classification(tmp_path / "data", 1, 1, 64)


def test_folder_of_something_else_is_an_error(tmp_path):
    """A folder of other files is not touched."""
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(FileExistsError, match=r"has no readable shapes\.json.*choose another folder"):
        make_video(tmp_path, 1, 1, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_only_the_asked_tasks_are_made(tmp_path):
    """Each task is made on its own, with a record of its parameters."""
    write_shapes(tmp_path, ["detection"], train=1, val=1, size=32, seed=3)
    assert [path.name for path in tmp_path.iterdir()] == ["detection"]
    record = json.loads((tmp_path / "detection/shapes.json").read_text())
    assert record == {"task": "detection", "train": 1, "val": 1, "size": 32, "seed": 3, "version": build.VERSION}


def test_unknown_task_is_an_error(tmp_path):
    """An unknown task is named, with those that there are, before anything is made."""
    with pytest.raises(ValueError, match=f"No sample shapes for pose; the tasks are {', '.join(TASKS)}"):
        write_shapes(tmp_path, ["detection", "pose"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"val": 0}, "train and val must be 1 or more, got train=1000 and val=0"),
        ({"size": 33}, "even number of pixels, 32 or more, got 33"),
        ({"size": 16}, "even number of pixels, 32 or more, got 16"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_numbers_out_of_range_are_errors(tmp_path, numbers, message):
    """A number out of range is an error that says what is allowed."""
    with pytest.raises(ValueError, match=message):
        make_detection(tmp_path / "data", **numbers)
