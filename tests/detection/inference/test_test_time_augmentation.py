import pytest
import torch
from torch import nn
from torchvision.ops import box_area

from detection.detectors.cascade import CascadeMaskRCNN
from detection.detectors.detector import Detector
from detection.detectors.htc import HybridTaskCascade
from detection.detectors.mask_rcnn import MaskRCNN
from detection.detectors.rpn import RPNConfig
from detection.inference.postprocess import Postprocess
from detection.inference.test_time_augmentation import AREAS, View, Views, check_areas, view_candidates
from detection.roi.roi_stage import RoIConfig
from swinv2 import BackboneConfig
from swinv2.imaging.resize import resize

BACKBONE = BackboneConfig("swinv2_tiny_window8_256", window_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4)
RPN = RPNConfig((8, 16, 32, 64, 128), (50, 50), 150)
BOXES_ONLY = RoIConfig(box_head_dim=32, masks=False)
HEADS = RoIConfig(box_head_dim=32, mask_head_dim=8, mask_head_convs=1)
MODELS = {
    "Mask R-CNN": lambda: MaskRCNN(BACKBONE, 3, 16, RPN, HEADS),
    "boxes only": lambda: MaskRCNN(BACKBONE, 3, 16, RPN, BOXES_ONLY),
    "soft-NMS": lambda: MaskRCNN(BACKBONE, 3, 16, RPN, HEADS, Postprocess(0.001, soft_nms="gaussian")),
    "cascade": lambda: CascadeMaskRCNN(BACKBONE, 3, 16, RPN, HEADS),
    "HTC": lambda: HybridTaskCascade(BACKBONE, 3, 16, RPN, HEADS, semantic_classes=5),
}
HEIGHT, WIDTH = 64, 96


def build(name="Mask R-CNN"):
    """A detector whose weights are so large that it finds much."""
    model = MODELS[name]().eval()
    for module_name, layer in model.named_modules():
        if module_name.endswith(("cls_score", "bbox_pred", "cls_logits", "mask_head.predictor")):
            nn.init.normal_(layer.weight, std=0.3)
            nn.init.normal_(layer.bias, std=0.3)
    return model


def picture(height=HEIGHT, width=WIDTH):
    """Random pixels, in bytes."""
    return torch.randint(256, (3, height, width), dtype=torch.uint8)


def assert_same(found, wanted):
    """The same detections to the last bit."""
    assert found.keys() == wanted.keys()
    assert len(wanted["boxes"]) > 3
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_one_view_of_the_images_own_size_changes_nothing(name):
    """Boxes, scores, labels and masks are those that the detector gives by itself."""
    model, image = build(name), picture()
    assert_same(Views([HEIGHT], 1000, flip=False).detect(model, image), model([image])[0])


@torch.no_grad()
def test_one_view_is_the_resized_image():
    """Boxes come back in the pixels of the image, all else is as the detector found it in the resized one."""
    model, image = build(), picture()
    (wanted,) = model([resize(image, (96, 144))])
    wanted["boxes"] = wanted["boxes"] * torch.tensor([WIDTH / 144, HEIGHT / 96] * 2)
    found = Views([96], 1000, flip=False).detect(model, image)
    assert len(wanted["boxes"]) > 3
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


def test_the_same_view_twice_changes_nothing():
    """What two views find alike is one detection, and the mean of equal masks is that mask."""
    model, image = build(), picture()
    assert_same(
        Views([96, 96], 1000, flip=False).detect(model, image), Views([96], 1000, flip=False).detect(model, image)
    )


def test_flipping_the_image_flips_the_detections():
    """Image and mirror image have the same views, so what is found in them is mirrored, masks too."""
    model, image, views = build(), picture(), Views([HEIGHT, 80], 1000)
    found, mirrored = views.detect(model, image), views.detect(model, image.flip(-1))
    assert len(found["boxes"]) > 3
    torch.testing.assert_close(found["scores"], mirrored["scores"])
    assert torch.equal(found["labels"], mirrored["labels"])
    corners = mirrored["boxes"][:, [2, 1, 0, 3]]
    corners[:, ::2] = WIDTH - corners[:, ::2]
    torch.testing.assert_close(found["boxes"], corners, atol=1e-3, rtol=0)
    torch.testing.assert_close(found["masks"], mirrored["masks"].flip(-1), atol=1e-4, rtol=0)


@torch.no_grad()
def test_masks_are_the_mean_of_the_views():
    """The final boxes are read in the image and, mirrored, in its mirror image."""
    model, image = build(), picture()
    found = Views([HEIGHT], 1000).detect(model, image)
    corners = found["boxes"][:, [2, 1, 0, 3]]
    corners[:, ::2] = WIDTH - corners[:, ::2]
    masks = []
    for pixels, boxes in ((image, found["boxes"]), (image.flip(-1), corners)):
        pyramids, _, _ = model.propose([pixels], [(HEIGHT, WIDTH)], None)
        masks += model.roi_heads.masks(pyramids, [boxes], [found["labels"]])
    torch.testing.assert_close(found["masks"], (masks[0] + masks[1].flip(-1)) / 2)
    assert (masks[0] - found["masks"]).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("name", AREAS)
def test_each_view_finds_objects_of_its_areas_only(name):
    """Candidates of another area, in pixels of the image, have score 0; all others and background keep theirs."""
    model, image, (least, beyond) = build(), picture(128, 160), AREAS[name]
    view = View((128, 160), (64, 80), True, [name])
    _, boxes, scores = view_candidates(model, view, image)
    _, _, everything = view_candidates(model, view._replace(areas=list(AREAS)), image)
    area = box_area(boxes.flatten(0, 1)).view(boxes.shape[:2])
    within = (area >= least) & (area < beyond)
    assert within.any()
    assert not within.all()
    assert torch.equal(scores[:, :-1], everything[:, :-1] * within)
    assert torch.equal(scores[:, -1], everything[:, -1])


def test_all_views_have_a_part_in_the_detections():
    """Large objects come from the view that is to find them, all others from the other one."""
    model, image = build(), picture(128, 160)
    split = Views([64, 128], 1000, flip=False, areas=[["large"], ["small", "medium"]]).detect(model, image)
    large = box_area(split["boxes"]) >= 96**2
    assert large.any()
    assert not large.all()
    for size, is_large in (((64, 80), True), ((128, 160), False)):
        _, boxes, _ = view_candidates(model, View((128, 160), size, False, list(AREAS)), image)
        distance = (split["boxes"][large == is_large, None] - boxes.flatten(0, 1)).abs().amax(dim=-1)
        assert distance.amin(dim=1).max() == 0


def test_views_are_all_sizes_with_and_without_flip():
    """The short edge grows to each length, the long edge not beyond its own."""
    views = Views([32, 64, 128], 150).of((HEIGHT, WIDTH))
    assert [(view.size, view.flip) for view in views] == [
        (size, flip) for size in ((32, 48), (64, 96), (100, 150)) for flip in (False, True)
    ]
    assert len(Views([32, 64, 128], 150, flip=False).of((HEIGHT, WIDTH))) == 3


@pytest.mark.parametrize("flip", [False, True])
def test_boxes_find_their_way_back_from_a_view(flip):
    """To the view and back is where they were; the corner of a flipped view is the other corner of the image."""
    view = View((HEIGHT, WIDTH), (128, 150), flip, ["small"])
    boxes = torch.tensor([[0.0, 0, WIDTH, 32], [10, 20, 30, 60]])
    torch.testing.assert_close(view.from_view(view.to_view(boxes)), boxes)
    assert view.to_view(torch.tensor([0.0, 0, 48, 32])).tolist() == ([75, 0, 150, 64] if flip else [0, 0, 75, 64])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"short_edges": []}, "short_edges is empty"),
        ({"short_edges": [0, 64]}, "short_edges .0, 64. must be positive and not above long_edge, 100"),
        ({"short_edges": [64, 128]}, "short_edges .64, 128. must be positive and not above long_edge, 100"),
        ({"areas": [["large"]]}, "areas has 1 entries for 2 short_edges"),
        ({"areas": [["large"], ["medium"]]}, "areas leaves small objects to no view"),
        ({"areas": [[], []]}, "areas leaves large and medium and small objects to no view"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    """The error says what was given and what is needed."""
    with pytest.raises(ValueError, match=message):
        Views(**{"short_edges": [64, 96], "long_edge": 100} | settings)


def test_unknown_areas_are_refused():
    """Also where types are not checked, as they are in tests."""
    with pytest.raises(ValueError, match="areas has huge; give any of small, medium, large"):
        check_areas([["small", "huge"], ["medium", "large"]], 2)


def test_a_view_may_be_left_without_areas():
    """It finds nothing, which is no error as long as another one finds everything."""
    model, image = build(), picture()
    views = Views([80, HEIGHT], 1000, flip=False, areas=[[], list(AREAS)])
    assert len(views.detect(model, image)["boxes"]) == len(model([image])[0]["boxes"])


def test_a_detector_without_roi_heads_is_refused():
    """Detectors of another kind cannot be asked for candidates."""
    with pytest.raises(ValueError, match=r"views need a detector with RoI heads .* got Detector"):
        Views([64], 100).detect(Detector(3, has_masks=False).eval(), picture())


def test_views_are_not_for_training():
    """A detector in training has no detections."""
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        Views([64], 100).detect(build().train(), picture())


def test_a_grey_image_is_refused():
    """As the detector itself refuses it."""
    with pytest.raises(ValueError, match="image 0 has shape"):
        Views([64], 100).detect(build(), torch.zeros(1, 64, 64))
