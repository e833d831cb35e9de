import pytest
import torch
import torch.nn.functional as F
from torch import nn

from detection.detectors.fpn import FPN
from detection.detectors.rcnn import RCNN
from detection.detectors.rpn import RPN, RPNConfig
from detection.inference.postprocess import Postprocess
from detection.roi.heads import BoxHead, BoxPredictor, MaskHead
from detection.roi.roi_heads import RoIHeads
from detection.roi.roi_pool import RoIPool
from detection.roi.roi_stage import RoIStage
from detection.roi.sampling import ProposalSampler

SIZES = [(50, 70), (64, 64), (50, 70)]


class TinyBackbone(nn.Module):
    """Two strided convolutions; any size, as the real one."""

    def __init__(self):
        super().__init__()
        self.channels, self.strides = [6, 8], [4, 8]
        self.stem, self.down = nn.Conv2d(3, 6, 4, stride=4), nn.Conv2d(6, 8, 2, stride=2)

    def forward(self, images):
        fine = self.stem(F.pad(images, (0, -images.shape[3] % 4, 0, -images.shape[2] % 4)))
        return [fine, self.down(F.pad(fine, (0, -fine.shape[3] % 2, 0, -fine.shape[2] % 2)))]


def detector(with_masks=True, samples=10_000):
    """So many samples that all are taken: the losses have no chance in them."""
    torch.manual_seed(0)
    backbone = TinyBackbone()
    fpn = FPN(backbone.channels, backbone.strides, 8)
    stage = RoIStage(
        BoxHead(8, 16),
        BoxPredictor(16, 3),
        MaskHead(8, 3, dim=8, num_convs=1) if with_masks else None,
        ProposalSampler(3, samples=samples, positive_fraction=1.0),
    )
    rpn = RPN(8, fpn.strides, RPNConfig((8, 16, 32), proposals=50, samples=samples))
    return RCNN(backbone, fpn, rpn, RoIHeads(RoIPool(backbone.strides), [stage], Postprocess()), num_classes=3)


def batch(sizes=SIZES):
    """Noise with two objects an image."""
    torch.manual_seed(1)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    boxes = torch.tensor([[5.0, 6, 25, 30], [20, 30, 40, 45]])
    targets = []
    for i, size in enumerate(sizes):
        masks = torch.zeros(2, *size, dtype=torch.bool)
        masks[0, 6:30, 5:25] = masks[1, 30:45, 20:40] = True
        targets.append({"boxes": boxes + i, "labels": torch.tensor([0, 2]), "masks": masks, "image_id": i})
    return images, targets


def without_objects(size):
    """The target of an image with nothing in it."""
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return empty | {"masks": torch.zeros(0, *size, dtype=torch.bool), "image_id": 7}


def assert_same_detections(ours, theirs):
    """All that is said of an image agrees."""
    for key in ("boxes", "scores", "labels", "masks"):
        torch.testing.assert_close(ours[key], theirs[key], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_detections_do_not_depend_on_the_batch():
    """What is found in an image is the same alone and beside images of its own and of other sizes."""
    model, (images, _) = detector().eval(), batch()
    together = model(images)
    assert all(len(d["scores"]) > 5 for d in together)
    for image, found in zip(images, together, strict=True):
        assert_same_detections(found, model([image])[0])


@torch.no_grad()
def test_rpn_losses_of_mixed_sizes_are_the_mean_over_images():
    """Images count equally, in whichever group they ran."""
    model, (images, targets) = detector(samples=40), batch()
    torch.manual_seed(0)
    *_, together = model.propose(images, SIZES, targets)
    torch.manual_seed(0)
    *_, pair = model.propose(images[::2], SIZES[::2], targets[::2])
    *_, single = model.propose(images[1:2], SIZES[1:2], targets[1:2])
    for name in ("loss_objectness", "loss_rpn_box"):
        torch.testing.assert_close(together[name], (2 * pair[name] + single[name]) / 3)


@torch.no_grad()
def test_losses_of_mixed_sizes_are_those_of_the_single_images():
    """RoI losses are means over the samples of the whole batch: those of single images, weighted by their samples."""
    model, (images, targets) = detector(), batch()
    together = model(images, targets)
    alone = [model([image], [target]) for image, target in zip(images, targets, strict=True)]
    counts = torch.tensor([float(samples) for samples in sample_counts(model, images, targets)])
    for name in ("loss_classifier", "loss_box"):
        wanted = (torch.stack([losses[name] for losses in alone]) * counts).sum() / counts.sum()
        torch.testing.assert_close(together[name], wanted)


def sample_counts(model, images, targets):
    """Number of RoI samples of each image: all its proposals and objects, as the sampler takes everything."""
    sizes = [tuple(image.shape[1:]) for image in images]
    _, proposals, _ = model.propose(images, sizes, targets)
    return [len(p) + len(t["boxes"]) for p, t in zip(proposals, targets, strict=True)]


def test_images_without_objects_leave_a_gradient_everywhere():
    """A batch with nothing in it trains: zero box and mask losses, and no parameter without gradient."""
    model, (images, _) = detector(), batch()
    losses = model(images, [without_objects(size) for size in SIZES])
    assert losses["loss_rpn_box"] == losses["loss_box"] == losses["loss_mask"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_losses_have_their_names_and_fall():
    """A few steps on one batch lower the sum of the five losses."""
    model, (images, targets) = detector(samples=64), batch()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    totals = []
    for _ in range(12):
        losses = model(images, targets)
        totals.append(sum(losses.values()).item())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert set(losses) == {"loss_objectness", "loss_rpn_box", "loss_classifier", "loss_box", "loss_mask"}
    assert totals[-1] < 0.8 * totals[0]


@torch.no_grad()
def test_bytes_and_floats_are_the_same_picture():
    """An image in uint8 and the same from 0 to 1 give the same detections, also side by side in a batch."""
    model, (images, _) = detector().eval(), batch()
    for ours, theirs in zip(model(images), model([images[0], *(image / 255 for image in images[1:])]), strict=True):
        assert_same_detections(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_and_boxes_are_float32_under_autocast(dtype):
    """Mixed precision changes the layers, not what is computed from their outputs."""
    model, (images, targets) = detector(), batch()
    with torch.autocast("cpu", dtype):
        losses = model(images, targets)
        found = model.eval()(images)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(loss.isfinite() for loss in losses.values())
    assert {d[key].dtype for d in found for key in ("boxes", "scores", "masks")} == {torch.float32}


@torch.no_grad()
def test_half_precision_weights_run():
    """A model whose weights themselves are bfloat16 detects and trains."""
    model, (images, targets) = detector().bfloat16(), batch()
    assert all(loss.isfinite() for loss in model(images, targets).values())
    assert model.eval()(images)[0]["boxes"].dtype == torch.float32


def test_boxes_only_needs_no_masks():
    """Without mask head targets need no masks, and detections have none."""
    model, (images, targets) = detector(with_masks=False), batch()
    losses = model(images, [{key: t[key] for key in ("boxes", "labels")} for t in targets])
    assert "loss_mask" not in losses
    assert set(model.eval()(images)[0]) == {"boxes", "scores", "labels"}


def test_masks_are_asked_of_box_only_data():
    """A mask branch trained with boxes only says which image lacks masks."""
    model, (images, targets) = detector(), batch()
    del targets[1]["masks"]
    with pytest.raises(ValueError, match="image 1 has no masks in its target"):
        model(images, targets)


def test_label_beyond_the_classes_is_an_error():
    """A data set of more classes than the model is told at once, not by an index error on the device."""
    model, (images, targets) = detector(), batch()
    targets[2]["labels"] = torch.tensor([0, 3])
    with pytest.raises(ValueError, match="image 2 has label 3; the model has num_classes=3"):
        model(images, targets)


def test_wrong_images_are_refused_in_evaluation_too():
    """A picture with channels last is an error before anything is computed."""
    with pytest.raises(ValueError, match="image 0 has shape"):
        detector().eval()([torch.zeros(20, 30, 3, dtype=torch.uint8)])
