import subprocess
import sys

import pytest
import torch
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.ssd import SSD

import swinv2
from swinv2.backbone import SwinTransformerV2
from swinv2.torchvision_backbone import as_torchvision_backbone

CHANNELS = [8, 16, 32, 64]
PYRAMID = ["0", "1", "2", "3", "pool"]
SIZE = {"min_size": 64, "max_size": 96}
FEW = {**SIZE, "box_batch_size_per_image": 16, "box_detections_per_img": 5, "rpn_post_nms_top_n_test": 50}


def tiny(**options):
    """The smallest backbone of four stages."""
    return SwinTransformerV2(embed_dim=8, depths=(1,) * 4, num_heads=(1,) * 4, window_size=4, **options)


def images():
    """Two pictures of different sizes, whose sides no stride divides."""
    return [torch.rand(3, 50, 70), torch.rand(3, 61, 45)]


def targets(**more):
    """One object in each picture."""
    return [{"boxes": torch.tensor([[5.0, 6, 40, 38]]), "labels": torch.tensor([1])} | more for _ in range(2)]


def faster_rcnn():
    """Faster R-CNN, and what it learns from."""
    return detection.FasterRCNN(as_torchvision_backbone(tiny(), 16), 3, **FEW), targets()


def mask_rcnn():
    """Mask R-CNN, and what it learns from."""
    masks = [torch.zeros(1, *image.shape[1:], dtype=torch.uint8) for image in images()]
    for mask in masks:
        mask[:, 6:38, 5:40] = 1
    wanted = [target | {"masks": mask} for target, mask in zip(targets(), masks, strict=True)]
    return detection.MaskRCNN(as_torchvision_backbone(tiny(), 16), 3, **FEW), wanted


def keypoint_rcnn():
    """Keypoint R-CNN, and what it learns from."""
    heads = {"keypoint_head": KeypointRCNNHeads(16, (8,)), "keypoint_predictor": KeypointRCNNPredictor(8, 2)}
    wanted = targets(keypoints=torch.tensor([[[10.0, 10, 1], [30, 30, 1]]]))
    return detection.KeypointRCNN(as_torchvision_backbone(tiny(), 16), 2, **heads, **FEW), wanted


def retinanet():
    """RetinaNet, and what it learns from."""
    body = tiny(out_indices=(1, 2, 3))
    return detection.RetinaNet(as_torchvision_backbone(body, 16, "p6p7"), 3, **SIZE), targets()


def fcos():
    """FCOS, and what it learns from."""
    body = tiny(out_indices=(1, 2, 3))
    return detection.FCOS(as_torchvision_backbone(body, 32, "p6p7"), 3, **SIZE), targets()


def ssd():
    """SSD, and what it learns from."""
    return SSD(as_torchvision_backbone(tiny(), None), DefaultBoxGenerator([[2]] * 4), (64, 64), 3), targets()


DETECTORS = [faster_rcnn, mask_rcnn, keypoint_rcnn, retinanet, fcos, ssd]


@pytest.mark.parametrize("make", DETECTORS)
def test_detector_trains(make):
    """Each of torchvision's detectors has finite losses, and their gradient reaches the first layer of the backbone."""
    model, wanted = make()
    losses = model.train()(images(), wanted)
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    gradient = model.backbone.body.patch_embed.proj.weight.grad
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("make", DETECTORS)
@torch.no_grad()
def test_detector_detects(make):
    """Each of torchvision's detectors gives boxes within the picture, whatever its size."""
    model, _ = make()
    for found, image in zip(model.eval()(images()), images(), strict=True):
        assert found["boxes"].shape == (len(found["scores"]), 4)
        assert (found["boxes"] <= torch.tensor([image.shape[2], image.shape[1]] * 2) + 1e-3).all()


@torch.no_grad()
def test_pyramid_is_that_of_torchvision():
    """Maps have the names, widths and sizes of torchvision's `BackboneWithFPN`."""
    maps = as_torchvision_backbone(tiny(), fpn_channels=12)(torch.rand(2, 3, 64, 96))
    assert list(maps) == PYRAMID
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    assert [tuple(x.shape) for x in maps.values()] == [(2, 12, *size) for size in sizes]


@torch.no_grad()
def test_levels_of_retinanet():
    """With "p6p7" two maps follow, each half of the one before."""
    maps = as_torchvision_backbone(tiny(out_indices=(1, 2, 3)), 12, "p6p7")(torch.rand(1, 3, 128, 128))
    assert {name: x.shape[-1] for name, x in maps.items()} == {"0": 16, "1": 8, "2": 4, "p6": 2, "p7": 1}


@torch.no_grad()
def test_pyramid_without_extra_levels():
    """With `extra_levels` None the pyramid has the levels of the backbone."""
    assert list(as_torchvision_backbone(tiny(), 12, None)(torch.rand(1, 3, 32, 32))) == PYRAMID[:4]


@torch.no_grad()
def test_maps_without_a_pyramid_are_the_backbones():
    """With `fpn_channels` None the maps of the backbone come out as they are."""
    body = tiny().eval()
    picture = torch.rand(1, 3, 40, 40)
    model = as_torchvision_backbone(body, fpn_channels=None)
    assert model.out_channels == CHANNELS
    for found, wanted in zip(model(picture).values(), body(picture), strict=True):
        torch.testing.assert_close(found, wanted)


def test_one_map_has_one_width():
    """A backbone of one map without a pyramid tells one number, as detectors with one level want it."""
    assert as_torchvision_backbone(tiny(out_indices=(2,)), fpn_channels=None).out_channels == 32


@pytest.mark.parametrize(("extra", "stages"), [("pool", [0, 1, 2, 3]), ("p6p7", [1, 2, 3])])
def test_name_makes_the_backbone(extra, stages):
    """A name is enough, and gives the stages that the detectors with these extra levels take."""
    with torch.device("meta"):
        model = swinv2.as_torchvision_backbone("swinv2_tiny_window8_256", extra_levels=extra)
    assert model.body.out_indices == stages
    assert model.out_channels == 256


def test_weights_are_loaded_by_name(tmp_path):
    """`weights` fill a backbone that is made from its name."""
    given = swinv2.create_backbone("swinv2_tiny_window8_256", out_indices=(0,)).state_dict()
    torch.save(given, tmp_path / "tiny.pth")
    model = as_torchvision_backbone("swinv2_tiny_window8_256", weights=str(tmp_path / "tiny.pth"))
    assert torch.equal(model.body.patch_embed.proj.weight, given["patch_embed.proj.weight"])


def test_weights_are_loaded_into_a_detector():
    """`load_weights` finds the backbone within torchvision's detector."""
    model, _ = faster_rcnn()
    report = swinv2.load_weights(model, tiny().state_dict())
    assert "backbone.body.patch_embed.proj.weight" in report.matched


@torch.no_grad()
def test_maps_stay_in_float32_in_mixed_precision():
    """Under autocast maps are float32: torchvision's anchors take their type, and bfloat16 knows few whole numbers."""
    model = as_torchvision_backbone(tiny(), 12)
    with torch.autocast("cpu", torch.bfloat16):
        assert {x.dtype for x in model(torch.rand(1, 3, 32, 32)).values()} == {torch.float32}


def test_there_must_be_no_gap_between_stages():
    """Stages 0 and 2 would make torchvision pool from the wrong maps."""
    with pytest.raises(ValueError, match=r"got out_indices \(0, 2\); use e.g. \(0, 1, 2\)"):
        as_torchvision_backbone(tiny(out_indices=(0, 2)))


def test_clips_are_refused():
    """A backbone for video is an error."""
    with pytest.raises(ValueError, match="got a backbone of 3 axes; make one of 2"):
        as_torchvision_backbone(SwinTransformerV2((2, 4, 4), embed_dim=8, depths=(1,), num_heads=(1,), out_indices=[0]))


def test_extra_levels_are_known_ones():
    """Other extra levels are an error that lists them."""
    with pytest.raises(ValueError, match="extra_levels is one of 'pool', 'p6p7', None, got 'p6'"):
        as_torchvision_backbone(tiny(), extra_levels="p6")


def test_weights_for_a_backbone_that_is_there():
    """Weights beside a backbone, which may have its own, are an error."""
    with pytest.raises(ValueError, match="weights='imagenet1k' are for a backbone given by name"):
        as_torchvision_backbone(tiny(), weights="imagenet1k")


def test_torchvision_is_missing(monkeypatch):
    """Without torchvision the error says what to install."""
    monkeypatch.setitem(sys.modules, "torchvision.ops.feature_pyramid_network", None)
    with pytest.raises(ImportError, match="needs torchvision; run `pip install torchvision`"):
        as_torchvision_backbone(tiny())


def test_torchvision_is_imported_when_it_is_needed():
    """`import swinv2` does not import torchvision."""
    code = "import sys, swinv2; swinv2.as_torchvision_backbone; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0
