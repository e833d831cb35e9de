from itertools import pairwise

import pytest
import torch
from torchvision.ops import box_iou

from detection.detectors.detector import Detector
from detection.detectors.mask_rcnn import MaskRCNN
from detection.detectors.rpn import RPNConfig
from detection.inference import tiles as module
from detection.inference.test_time_augmentation import Views
from detection.inference.tiles import Part, Tiles, detect_each, greedy, merge
from detection.roi.roi_stage import RoIConfig
from swinv2 import BackboneConfig

BACKBONE = BackboneConfig("swinv2_tiny_window8_256", window_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4)
TILES = Tiles(128, 0.25)  # what has sides of up to 32 pixels lies within a tile
SIZE = (400, 600)
STARTS = {400: [0, 91, 181, 272], 600: [0, 94, 189, 283, 378, 472]}
LARGE = [150, 60, 390, 260]


class ColourDetector(Detector):
    """Finds rectangles by their colours, at most `limit` an image, with random scores; keeps the sizes it was shown."""

    def __init__(self, colours, limit=100):
        super().__init__(3, has_masks=True)
        self.colours = colours
        self.limit = limit
        self.shown = []

    def forward(self, images, targets=None):
        self.shown += [tuple(image.shape[1:]) for image in images]
        return [self.find(image) for image in images]

    def find(self, image):
        """The box around all pixels of each colour."""
        boxes, numbers = torch.zeros(0, 4), []
        for number, colour in enumerate(self.colours):
            rows, columns = torch.where((image == colour[:, None, None]).all(dim=0))
            if len(rows):
                box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
                boxes, numbers = torch.cat([boxes, box[None]]), [*numbers, number]
        numbers, scores = torch.tensor(numbers).long(), torch.rand(len(boxes)) / 2 + 0.5
        best = scores.argsort(descending=True)[: self.limit]
        masks = numbers[best, None, None].expand(-1, 4, 4).float()  # says which one it is
        return {"boxes": boxes[best], "scores": scores[best], "labels": numbers[best] % 3, "masks": masks}


def small_boxes():
    """Boxes of up to 28 x 28 pixels, on all crossings of the tiles' borders and between, not overlapping each other."""
    edges = [sorted({*starts, *(start + 128 for start in starts)}) for starts in STARTS.values()]
    places = [(y, x) for y in edges[0] for x in edges[1]] + torch.randint(15, 385, (200, 2)).tolist()
    kept = torch.tensor([LARGE]).float()
    for y, x in places:
        height, width = torch.randint(6, 29, (2,)).tolist()
        top, left = min(max(y - height // 2, 0), SIZE[0] - height), min(max(x - width // 3, 0), SIZE[1] - width)
        box = torch.tensor([[left, top, left + width, top + height]]).float()
        if box_iou(box, kept).max() == 0:
            kept = torch.cat([kept, box])
    return kept[1:]


def scene(boxes):
    """A black image with a rectangle of its own colour in each box, and a detector that knows the colours."""
    image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    numbers = torch.arange(len(boxes)) + 1
    colours = torch.stack([numbers % 15 * 17, numbers // 15 * 17, 255 - numbers], dim=1).to(torch.uint8)
    for (left, top, right, bottom), colour in zip(boxes.int().tolist(), colours, strict=True):
        image[:, top:bottom, left:right] = colour[:, None, None]
    return image, ColourDetector(colours)


def candidates(boxes, scores, part, cut, labels=None):
    """Detections of several parts of an image."""
    return {
        "boxes": torch.tensor(boxes).float(),
        "scores": torch.tensor(scores),
        "labels": torch.zeros(len(boxes)).long() if labels is None else torch.tensor(labels),
        "part": torch.tensor(part),
        "cut": torch.tensor(cut),
    }


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("length", [10, 128, 129, 200, 256, 400, 1000])
def test_tiles_cover_an_axis_with_at_least_the_overlap(length, overlap):
    """From the first to the last pixel, no step longer than a tile without the overlap, and no tile too many."""
    starts = Tiles(128, overlap).starts(length)
    steps = [after - before for before, after in pairwise(starts)]
    longest = int(128 * (1 - overlap))
    assert starts[0] == 0
    assert starts[-1] + 128 == max(length, 128)
    assert all(0 < step <= longest for step in steps)
    assert len(steps) == -(-max(length - 128, 0) // longest)


def test_all_tiles_are_of_one_size():
    """Also the last ones; an axis shorter than a tile is whole."""
    assert Tiles(128, 0.25).of(SIZE) == [Part(y, x, 128, 128) for y in STARTS[400] for x in STARTS[600]]
    assert Tiles(128, 0.0).of((50, 200)) == [Part(0, 0, 50, 128), Part(0, 72, 50, 128)]


def test_all_objects_are_found_exactly_once():
    """Those on borders and corners of tiles to the pixel, one larger than a tile from the whole image."""
    boxes = torch.cat([torch.tensor([LARGE]).float(), small_boxes()])
    image, model = scene(boxes)
    found = TILES.detect(model, image)
    assert len(boxes) > 60
    assert torch.equal(found["scores"], found["scores"].sort(descending=True)[0])
    numbers = found["masks"][:, 0, 0].long()  # masks come with their boxes
    assert sorted(numbers.tolist()) == list(range(len(boxes)))
    assert torch.equal(found["labels"], numbers % 3)
    small = numbers > 0
    assert torch.equal(found["boxes"][small], boxes[numbers[small]])
    assert box_iou(found["boxes"][~small], boxes[:1]) > 0.9


def test_without_the_whole_image_the_detector_sees_tiles_only():
    """One after the other, all of one size; small objects are found all the same."""
    boxes = small_boxes()
    image, model = scene(boxes)
    found = Tiles(128, 0.25, whole=False).detect(model, image)
    assert model.shown == [(128, 128)] * 24
    assert sorted(found["masks"][:, 0, 0].long().tolist()) == list(range(len(boxes)))


def test_the_whole_image_is_shrunk_to_fit_a_tile():
    """Its longer side becomes as long as a tile."""
    image, model = scene(small_boxes())
    TILES.detect(model, image)
    assert model.shown[24:] == [(85, 128)]


def test_an_object_larger_than_the_overlap_is_found_once_without_the_whole_image():
    """If no tile shows it uncut, its largest part stays for it."""
    image, model = scene(torch.tensor([[60.0, 20, 150, 60]]))  # the first tile ends at 128, the second begins at 94
    found = Tiles(128, 0.25, whole=False).detect(model, image[:, :100])
    assert found["boxes"].tolist() == [[60, 20, 128, 60]]


def test_only_what_exceeds_the_overlap_is_taken_from_the_whole_image():
    """What is smaller lies within a tile, where it is seen better."""

    class AlwaysSmall(ColourDetector):
        def find(self, image):
            boxes = torch.tensor([[2.0, 2, 8, 8], [10, 10, 17, 12]])
            whole = tuple(image.shape[1:]) == (85, 128)
            return {"boxes": boxes[: 2 if whole else 0], "scores": torch.ones(2 if whole else 0)} | {
                "labels": torch.zeros(2 if whole else 0).long()
            }

    found = TILES.detect(AlwaysSmall([]), torch.zeros(3, *SIZE))
    torch.testing.assert_close(
        found["boxes"], torch.tensor([[10, 10, 17, 12]]) * torch.tensor([600 / 128, 400 / 85] * 2)
    )


def test_the_limit_of_a_tile_is_none_of_the_image():
    """Many tiles with few detections each are many detections."""
    image, model = scene(small_boxes())
    model.limit = 2
    assert len(TILES.detect(model, image)["boxes"]) > 20


def test_a_part_gives_way_to_the_whole_object_though_it_scores_better():
    """Up to twice the score; a much better one does not take a poor one for the whole object."""
    boxes, part, cut = [[0, 0, 20, 10], [0, 0, 50, 10]], [0, 1], [True, False]
    assert merge(candidates(boxes, [0.9, 0.5], part, cut), 0.5)["scores"].tolist() == pytest.approx([0.5])
    assert merge(candidates(boxes, [0.9, 0.4], part, cut), 0.5)["scores"].tolist() == pytest.approx([0.9, 0.4])


def test_a_whole_object_does_not_give_way_to_what_covers_it():
    """A small object before a large one of its class stays, if it does not reach the border of its tile."""
    found = candidates([[0, 0, 20, 10], [0, 0, 50, 10]], [0.6, 0.9], [0, 1], [False, False])
    assert len(merge(found, 0.5)["boxes"]) == 2


@pytest.mark.parametrize("change", [{"labels": [0, 1]}, {"part": [3, 3]}])
def test_other_classes_and_the_same_tile_do_not_compete(change):
    """Equal boxes of two classes are two objects, and what a detector found twice in one tile it meant to."""
    found = {"boxes": [[0, 0, 20, 10]] * 2, "scores": [0.9, 0.8], "part": [0, 1], "cut": [False, False]} | change
    assert len(merge(candidates(**found), 0.5)["boxes"]) == 2


def test_the_best_of_copies_stays():
    """Of whole objects of different tiles that overlap by the threshold."""
    boxes = [[0, 0, 20, 10], [0, 0, 20, 11], [0, 0, 20, 40]]
    found = merge(candidates(boxes, [0.7, 0.8, 0.6], [0, 1, 2], [False] * 3), 0.5)
    assert found["boxes"].tolist() == [boxes[1], boxes[2]]


def test_what_has_given_way_takes_nothing_with_it():
    """Two objects that overlap and are both seen by two tiles remain two: the first tile's."""
    boxes = [[0, 0, 20, 10], [0, 0, 20, 10], [6, 0, 26, 10], [6, 0, 26, 10]]  # IoU of neighbours 14 / 26
    found = merge(candidates(boxes, [0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], [False] * 4), 0.5)
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7])


def test_a_part_of_a_part_goes_with_it():
    """A sliver before the middle of an object, where that gives way to a whole one that ends a little too early."""
    boxes = [[0, 0, 80, 10], [50, 0, 95, 10], [75, 0, 95, 10]]  # the first covers 30 / 45 and 5 / 20
    found = merge(candidates(boxes, [0.7, 0.8, 0.9], [0, 1, 2], [False, True, True]), 0.5)
    assert found["boxes"].tolist() == boxes[:1]


def test_a_tile_shows_an_object_better_than_the_shrunk_image():
    """Its detection stays, unless that of the whole image has more than twice its score."""
    boxes, part, cut = [[0, 0, 20, 10], [0, 0, 18, 12]], [0, module.SHRUNK], [False, False]
    assert merge(candidates(boxes, [0.5, 0.9], part, cut), 0.5)["boxes"].tolist() == boxes[:1]
    assert merge(candidates(boxes, [0.4, 0.9], part, cut), 0.5)["boxes"].tolist() == boxes[1:]


def test_greedy_is_what_a_plain_loop_decides():
    """One after the other, each stays unless it gives way to one that stays, or to any where it always does."""
    pairs = torch.randint(40, (80, 2)).sort(dim=1, descending=True).values
    pairs = pairs[pairs[:, 0] > pairs[:, 1]]
    always = torch.rand(len(pairs)) > 0.9
    stays = []
    for one in range(40):
        rivals = [(other, sure) for (lower, other), sure in zip(pairs.tolist(), always, strict=True) if lower == one]
        stays.append(not any(stays[other] or sure for other, sure in rivals))
    assert greedy(pairs, always, 40).tolist() == stays
    assert 0 < sum(stays) < 40


def test_comparing_in_small_portions_changes_nothing(monkeypatch):
    """The bound on memory has no effect on the result."""
    count, corner = 200, torch.rand(200, 2) * 60
    boxes = torch.cat([corner, corner + 20], dim=1)
    found = candidates(boxes.tolist(), torch.rand(count).tolist(), torch.randint(5, (count,)).tolist(), [False] * count)
    found["cut"] = torch.rand(count) > 0.5
    wanted = merge(found, 0.5)
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", 7 * count)
    assert torch.equal(merge(found, 0.5)["boxes"], wanted["boxes"])
    assert 10 < len(wanted["boxes"]) < count


def test_objects_at_the_border_of_the_image_are_not_cut():
    """Only borders between tiles cut."""
    boxes = torch.tensor([[0.0, 0, 9, 9], [90, 10, 99, 20], [50, 40, 60, 50], [50, 20, 60, 30]])
    assert Part(0, 0, 50, 100).cuts(boxes, (200, 100)).tolist() == [False, False, True, False]
    assert Part(0, 0, 50, 100).cuts(boxes, (50, 200)).tolist() == [False, True, False, False]


def test_nothing_found_is_empty():
    """A black image has no objects, with all that detections have."""
    found = TILES.detect(ColourDetector(torch.ones(1, 3)), torch.zeros(3, *SIZE))
    assert {key: len(values) for key, values in found.items()} == dict.fromkeys(
        ("boxes", "scores", "labels", "masks"), 0
    )


@torch.no_grad()
@pytest.mark.parametrize("size", [(128, 128), (64, 100)])
def test_an_image_that_fits_one_tile_is_not_cut(size):
    """A real detector gives exactly what it gives without tiles."""
    heads, rpn = (
        RoIConfig(box_head_dim=32, mask_head_dim=8, mask_head_convs=1),
        RPNConfig((8, 16, 32, 64, 128), (50, 50), 50),
    )
    model, image = MaskRCNN(BACKBONE, 3, 16, rpn, heads).eval(), torch.rand(3, *size)
    (wanted,), found = model([image]), TILES.detect(model, image)
    assert found.keys() == wanted.keys()
    assert len(wanted["boxes"]) > 3
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@torch.no_grad()
def test_tiles_views_both_or_none():
    """Each way of looking finds in an image what it finds by itself; both together look at each tile in all views."""
    heads, rpn = RoIConfig(box_head_dim=32, masks=False), RPNConfig((8, 16, 32, 64, 128), (50, 50), 50)
    model, images = MaskRCNN(BACKBONE, 3, 16, rpn, heads).eval(), [torch.rand(3, 64, 96), torch.rand(3, 70, 40)]
    tiles, views = Tiles(64, 0.25), Views((80,), 120)
    ways = {
        (None, None): lambda image: model([image])[0],
        (tiles, None): lambda image: tiles.detect(model, image),
        (None, views): lambda image: views.detect(model, image),
        (tiles, views): lambda image: tiles.detect(lambda parts: [views.detect(model, part) for part in parts], image),
    }
    results = []
    for settings, way in ways.items():
        for image, found in zip(images, detect_each(model, images, *settings), strict=True):
            torch.testing.assert_close(found, way(image))
            results.append(float(found["boxes"].sum()))
    assert len(set(results[::2])) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 31}, "size of tiles must be at least 32 pixels, got 31"),
        ({"overlap": 1.0}, "overlap of tiles must be from 0 to below 1, got 1.0"),
        ({"overlap": -0.1}, "overlap of tiles must be from 0 to below 1, got -0.1"),
        ({"match_threshold": 0.0}, "match_threshold must be above 0 and at most 1, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    """The error says which setting, what it may be and what was given."""
    with pytest.raises(ValueError, match=message):
        Tiles(**settings)


def test_an_image_without_colour_is_refused():
    """Before it is cut."""
    with pytest.raises(ValueError, match="image 0 has shape"):
        TILES.detect(ColourDetector([]), torch.zeros(500, 500))
