import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork

from detection.detectors.rpn import RPN, PyramidAnchors, RPNConfig

STRIDES = (4, 8, 16, 32, 64)
SIZES = (8, 16, 32, 64, 128)


def pyramid(height, width, batch=1, channels=6):
    """Random maps of images of one size."""
    return [torch.randn(batch, channels, -(-height // s), -(-width // s)) for s in STRIDES]


def rpn(**kwargs):
    """A small RPN, always the same."""
    torch.manual_seed(0)
    return RPN(6, STRIDES, RPNConfig(SIZES, **kwargs))


def image_list(height, width):
    """One image as torchvision hands it on."""
    return ImageList(torch.empty(1, 3, height, width), [(height, width)])


def test_anchors_are_torchvisions_but_for_rounding():
    """Where the image is a multiple of all strides, each anchor lies within half a pixel of torchvision's."""
    features = pyramid(128, 192)
    [ours] = PyramidAnchors(SIZES, STRIDES)(image_list(128, 192), features)
    theirs = AnchorGenerator(tuple((s,) for s in SIZES), ((0.5, 1.0, 2.0),) * 5)(image_list(128, 192), features)[0]
    assert (ours - theirs).abs().max() <= 0.5
    torch.testing.assert_close(ours[1::3], theirs[1::3])  # squares need no rounding


def test_anchors_lie_at_true_strides_in_an_image_of_any_size():
    """At 100 x 130 the second anchor of each level stands one stride beside the first."""
    features = pyramid(100, 130)
    [anchors] = PyramidAnchors(SIZES, STRIDES)(image_list(100, 130), features)
    levels = anchors.split([3 * x[0, 0].numel() for x in features])
    assert [(level[3] - level[0]).round(decimals=3).tolist() for level in levels] == [[s, 0, s, 0] for s in STRIDES]


def test_anchors_have_the_asked_area():
    """No aspect ratio changes the area of an anchor."""
    [anchors] = PyramidAnchors((8,), (4,))(image_list(4, 4), [torch.zeros(1, 1, 1, 1)])
    width, height = (anchors[:, 2:] - anchors[:, :2]).T
    torch.testing.assert_close(width * height, torch.full((3,), 64.0))
    torch.testing.assert_close(height / width, torch.tensor([0.5, 1.0, 2.0]))


def test_anchor_sizes_need_one_per_level():
    """Four sizes for five levels are an error that counts both."""
    with pytest.raises(ValueError, match=r"got \[8, 16, 32, 64\] for the 5 levels of strides \[4, 8, 16, 32, 64\]"):
        PyramidAnchors(SIZES[:4], STRIDES)


def test_proposals_lie_within_the_image():
    """Evaluation gives at most the asked number of boxes, cut to the image, and no losses."""
    boxes, losses = rpn(proposals=20).eval()(pyramid(100, 130, batch=2), (100, 130))
    assert losses == {}
    assert [tuple(b.shape) for b in boxes] == [(20, 4)] * 2
    assert all((b >= 0).all() and (b[:, 0::2] <= 130).all() and (b[:, 1::2] <= 100).all() for b in boxes)


def test_candidates_limit_what_enters_nms():
    """Training and evaluation take their own number of anchors from each of the five levels."""
    model = rpn(candidates=(3, 1))
    targets = [{"boxes": torch.zeros(0, 4)}]
    assert len(model(pyramid(100, 130), (100, 130), targets)[0][0]) <= 15
    assert len(model.eval()(pyramid(100, 130), (100, 130))[0][0]) <= 5


def test_image_without_objects_gives_zero_box_loss_and_all_gradients():
    """Where nothing is to be found, the box branch still takes part with gradients of zero."""
    model = rpn()
    _, losses = model(pyramid(64, 64), (64, 64), [{"boxes": torch.zeros(0, 4)}])
    assert set(losses) == {"loss_objectness", "loss_rpn_box"}
    assert losses["loss_rpn_box"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_proposals_and_losses_are_float32_under_autocast():
    """Boxes of a thousand pixels need more than the eight bits of bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        boxes, losses = rpn()(pyramid(100, 130), (100, 130), [{"boxes": torch.tensor([[10.0, 10, 50, 40]])}])
    assert boxes[0].dtype == torch.float32
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "value"), [("candidates", (-1, 200)), ("proposals", 0), ("samples", -5), ("anchor_sizes", (8, 0))]
)
def test_numbers_below_one(name, value):
    """They are told before anything is built."""
    with pytest.raises(ValueError, match=rf"rpn.{name} is .*; give numbers from 1 on, e\.g\. "):
        RPNConfig(**{name: value})


def theirs(model):
    """Torchvision's RPN with the same parts and settings."""
    numbers = model._pre_nms_top_n, model._post_nms_top_n, model.nms_thresh
    return RegionProposalNetwork(model.anchor_generator, model.head, 0.7, 0.3, 256, 0.5, *numbers)


def test_proposals_and_losses_are_torchvisions():
    """The same bits with the same random numbers, where images have many objects, one or none."""
    own, features = rpn(), pyramid(100, 130, batch=3)
    corners = 60 * torch.rand(9, 2)
    objects = torch.cat([corners, corners + 5 + 30 * torch.rand(9, 2)], 1)
    targets = [{"boxes": objects}, {"boxes": objects[:1]}, {"boxes": objects[:0]}]
    torch.manual_seed(2)
    boxes, losses = own(features, (100, 130), targets)
    images = ImageList(features[0], [(100, 130)] * 3)
    torch.manual_seed(2)
    wanted, their_losses = theirs(own)(images, dict(enumerate(features)), targets)
    assert all(map(torch.equal, boxes, wanted))
    assert [*losses.values()] == [*their_losses.values()]


def test_waits_do_not_grow_with_the_images(gpu):
    """Once for what is proposed, once a NMS, once for the samples of the loss."""
    own, features = rpn().to("cuda"), [x.to("cuda", non_blocking=True) for x in pyramid(64, 64, batch=3)]
    targets = [{"boxes": torch.ones(2, 1, device="cuda") * torch.arange(4, device="cuda") * 8.0}] * 3
    own(features, (64, 64), targets)
    assert gpu.waits.total() == 1 + 3 + 1
