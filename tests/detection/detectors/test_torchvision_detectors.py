import pytest
import torch
from jsonargparse import ArgumentParser
from torchvision.models import detection as torchvision_detection
from torchvision.models.detection.anchor_utils import AnchorGenerator

from detection.detectors.detector import Detector
from detection.detectors.torchvision_detectors import FasterRCNN, RetinaNet
from swinv2 import BackboneConfig, as_torchvision_backbone

CLASSES, SIZES = 3, [(50, 70), (61, 45)]
SMALL = {"name": "swinv2_tiny_window8_256", "window_size": 4, "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4}
BACKBONE, UPPER = BackboneConfig(**SMALL), BackboneConfig(**SMALL, out_indices=(1, 2, 3))
ANCHORS = (8, 16, 32, 64, 128)


def faster_rcnn(**options):
    """A small Faster R-CNN."""
    return FasterRCNN(BACKBONE, CLASSES, 16, anchor_sizes=ANCHORS, **options)


def retinanet(**options):
    """A small RetinaNet."""
    return RetinaNet(UPPER, CLASSES, 16, anchor_sizes=ANCHORS, **options)


BOTH = pytest.mark.parametrize("make", [faster_rcnn, retinanet])


def images():
    """Two pictures of different sizes, whose sides no stride divides."""
    torch.manual_seed(1)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in SIZES]


def targets():
    """An object of the first and the last class, and a picture without objects."""
    boxes = torch.tensor([[5.0, 6, 40, 38], [20, 10, 60, 45]])
    some = {"boxes": boxes, "labels": torch.tensor([0, CLASSES - 1]), "image_id": 7}
    return [some, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "image_id": 8}]


def large(model):
    """The model with weights so large that it finds much."""
    torch.manual_seed(2)
    for name, parameter in model.detector.named_parameters():
        if "backbone" not in name:
            torch.nn.init.normal_(parameter, std=2 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1)
    return model.eval()


def torchvisions(model):
    """A model of torchvision with the weights of ours, and the label that it gives to our class 0."""
    ours = next(part for part in model.modules() if isinstance(part, AnchorGenerator))
    generator = AnchorGenerator(ours.sizes, ours.aspect_ratios)
    size = {"min_size": 50, "max_size": 70, "_skip_resize": True}  # in training it would draw a random number
    if isinstance(model, FasterRCNN):
        theirs = torchvision_detection.FasterRCNN(
            as_torchvision_backbone(BACKBONE.build(), 16), CLASSES + 1, rpn_anchor_generator=generator, **size
        )
    else:
        theirs = torchvision_detection.RetinaNet(
            as_torchvision_backbone(UPPER.build(), 16, "p6p7"),
            CLASSES,
            anchor_generator=generator,
            detections_per_img=100,
            **size,
        )
    theirs.load_state_dict(model.detector.state_dict())
    return theirs, int(isinstance(model, FasterRCNN))


@BOTH
def test_losses(make):
    """Losses have our names, are finite, and their gradient reaches the backbone."""
    losses = make().train()(images(), targets())
    rpn = {"loss_objectness", "loss_rpn_box"} if make is faster_rcnn else set()
    assert set(losses) == {"loss_classifier", "loss_box"} | rpn
    assert all(loss.isfinite() for loss in losses.values())


@BOTH
def test_gradient_reaches_the_backbone(make):
    """All that the detector has learns, the first layer of the backbone too."""
    model = make().train()
    sum(model(images(), targets()).values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    assert model.detector.backbone.body.patch_embed.proj.weight.grad.abs().sum() > 0


@BOTH
@torch.no_grad()
def test_detections(make):
    """Detections lie within the picture that was given, with labels of ours from the first to the last class."""
    found = large(make())(images())
    labels = torch.cat([one["labels"] for one in found])
    assert set(labels.tolist()) == set(range(CLASSES))
    for one, (height, width) in zip(found, SIZES, strict=True):
        assert set(one) == {"boxes", "scores", "labels"}
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= torch.tensor([width, height] * 2)).all()
        assert (one["scores"].diff() <= 0).all()


@BOTH
@torch.no_grad()
def test_detections_equal_torchvisions(make):
    """With its weights torchvision's model finds the same, under its labels, in a picture that it does not scale."""
    model = large(make())
    theirs, first = torchvisions(model)
    picture = images()[0] / 255
    found, wanted = model([picture])[0], theirs.eval()([picture])[0]
    assert len(found["labels"]) > 10
    assert torch.equal(found["labels"] + first, wanted["labels"])
    torch.testing.assert_close(found["boxes"], wanted["boxes"])
    torch.testing.assert_close(found["scores"], wanted["scores"])


@BOTH
def test_losses_equal_torchvisions(make):
    """Given the same random samples, torchvision's model has the same losses, in the same order."""
    model = make().train()
    theirs, first = torchvisions(model)
    pictures = [image / 255 for image in images()]
    torch.manual_seed(3)
    found = model(pictures, targets())
    torch.manual_seed(3)
    wanted = theirs.train()(pictures, [target | {"labels": target["labels"] + first} for target in targets()])
    for ours, loss in zip(found.values(), wanted.values(), strict=True):
        torch.testing.assert_close(ours, loss)


@torch.no_grad()
def test_standard_anchors_are_torchvisions():
    """Without further arguments RetinaNet has the anchors that torchvision gives it."""
    model = RetinaNet(UPPER, CLASSES)
    theirs = torchvision_detection.RetinaNet(model.detector.backbone, CLASSES)
    assert model.detector.anchor_generator.sizes == theirs.anchor_generator.sizes
    assert model.detector.anchor_generator.aspect_ratios == theirs.anchor_generator.aspect_ratios


@BOTH
@torch.no_grad()
def test_bytes_and_floats_are_the_same_picture(make):
    """A picture in bytes gives the detections of the same in floats from 0 to 1."""
    model = large(make())
    for found, wanted in zip(model(images()), model([image / 255 for image in images()]), strict=True):
        torch.testing.assert_close(found["boxes"], wanted["boxes"], atol=1e-2, rtol=1e-3)


@BOTH
def test_mixed_precision(make):
    """Under autocast to bfloat16, losses and detections are in float32, and boxes are not rounded to whole pixels."""
    model = large(make())
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.train()(images(), targets())
        with torch.no_grad():
            found = model.eval()(images())[0]
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert (found["boxes"].bfloat16().float() != found["boxes"]).sum() > 10


@BOTH
@torch.no_grad()
def test_options_reach_torchvision(make):
    """Number and least score of detections are those that were asked for."""
    found = large(make(detections_per_image=5, score_threshold=0.4))(images())
    assert [len(one["labels"]) for one in found] == [5, 5]
    assert all((one["scores"] > 0.4).all() for one in found)


@BOTH
@torch.no_grad()
def test_picture_of_one_patch(make):
    """The smallest picture runs."""
    found = make().eval()([torch.zeros(3, 4, 4, dtype=torch.uint8)])[0]
    assert (found["boxes"] <= 4).all()


def test_they_find_boxes_only():
    """Masks are not among what they learn and give."""
    assert not faster_rcnn().has_masks


@pytest.mark.parametrize("detector", [FasterRCNN, RetinaNet])
def test_there_must_be_a_class(detector):
    """A recipe that leaves the number of classes open gets it from the data; here it is an error."""
    with pytest.raises(ValueError, match="num_classes must be at least 1, got None"):
        detector(BACKBONE)


@pytest.mark.parametrize(("detector", "levels"), [(FasterRCNN, 5), (RetinaNet, 6)])
def test_anchors_must_fit_the_pyramid(detector, levels):
    """Anchor sizes for other than the levels that the pyramid has are an error."""
    with pytest.raises(ValueError, match=rf"got \[8, 16\] for {levels} levels; the backbone's out_indices set"):
        detector(BACKBONE, CLASSES, anchor_sizes=(8, 16))


@BOTH
def test_labels_are_checked(make):
    """Label 3 of 3 classes is an error that says so, before torchvision takes it for something else."""
    wrong = [target | {"labels": target["labels"] + 1} for target in targets()]
    with pytest.raises(ValueError, match="image 7 has label 3; the model has num_classes=3"):
        make().train()(images(), wrong)


@BOTH
def test_training_needs_targets(make):
    """Training without targets is an error."""
    with pytest.raises(ValueError, match="training needs targets, got None"):
        make().train()(images())


@BOTH
def test_images_are_checked(make):
    """A grey picture is an error."""
    with pytest.raises(ValueError, match=r"image 0 has shape \(1, 8, 8\); give \(3, height, width\)"):
        make()([torch.zeros(1, 8, 8)])


@pytest.mark.parametrize("name", ["FasterRCNN", "RetinaNet"])
def test_recipe_builds_the_model(name):
    """What a YAML recipe says reaches the constructors, backbone included."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=Detector)
    settings = {"backbone": {**SMALL, "out_indices": [1, 2, 3]}, "num_classes": 5, "nms_threshold": 0.6}
    settings["anchor_sizes"] = [8, 16, 32, 64, 128][: 4 if name == "FasterRCNN" else 5]
    recipe = {"model": {"class_path": f"detection.detectors.torchvision_detectors.{name}", "init_args": settings}}
    model = parser.instantiate(parser.parse_object(recipe)).model
    assert model.num_classes == 5
    assert model.detector.backbone.body.out_indices == [1, 2, 3]
