"""Region proposal network: boxes that may contain an object of any class (arXiv:1506.01497)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import batched_nms, clip_boxes_to_image, nms

from detection.detectors.balanced_sampling import draw_balanced, nth_true
from detection.detectors.box_coder import BoxCoder

ASPECT_RATIOS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class RPNConfig:
    """Settings of the RPN: anchors, and numbers of candidates, proposals and samples.

    Args:
        anchor_sizes: square root of the anchor area in pixels, one for each backbone map and one more.
        candidates: number of best-scored anchors of each level that enter NMS, in training and in evaluation.
        proposals: number of boxes per image after NMS.
        samples: number of anchors per image in the loss, at most half of them positive.

    Raises:
        ValueError: a number below 1.
    """

    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512)
    candidates: tuple[int, int] = (2000, 1000)
    proposals: int = 1000
    samples: int = 256

    def __post_init__(self) -> None:
        for name in ("anchor_sizes", "candidates", "proposals", "samples"):
            value = getattr(self, name)
            if min([value] if isinstance(value, int) else value, default=1) < 1:
                raise ValueError(f"rpn.{name} is {value}; give numbers from 1 on, e.g. {getattr(RPNConfig, name)}.")


class PyramidAnchors(AnchorGenerator):
    """Anchors of one size per level at aspect ratios 1/2, 1 and 2, as detectron2 places them.

    Unlike torchvision's they lie at each level's true stride whatever the image size, are not rounded to whole pixels
    (which would distort small ones), and stay in float32 under autocast.

    Args:
        sizes: square root of the anchor area at each level, in pixels, finest level first.
        strides: stride of each level in pixels.

    Raises:
        ValueError: if there is not one size per level.
    """

    def __init__(self, sizes: Sequence[int], strides: Sequence[int]):
        if len(sizes) != len(strides):
            raise ValueError(
                f"anchor_sizes needs one size per pyramid level, got {list(sizes)} for the {len(strides)} levels of "
                f"strides {list(strides)}; the coarsest level is added by the pyramid itself."
            )
        super().__init__(tuple((size,) for size in sizes), (ASPECT_RATIOS,) * len(sizes))
        self.strides = list(strides)
        heights = torch.tensor(ASPECT_RATIOS).sqrt()
        shape = torch.stack([-1 / heights, -heights, 1 / heights, heights], dim=1) / 2  # (3, 4) xyxy, of area 1
        self.cell_anchors = [size * shape for size in sizes]

    def forward(self, image_list: ImageList, feature_maps: Sequence[Tensor]) -> list[Float[Tensor, "n 4"]]:
        """Anchors of all levels, finest first, once per image."""
        self.set_cell_anchors(torch.float32, feature_maps[0].device)
        grids = [list(x.shape[-2:]) for x in feature_maps]
        anchors = torch.cat(self.grid_anchors(grids, [[stride, stride] for stride in self.strides]))
        return [anchors] * len(image_list.image_sizes)


class Float32Head(RPNHead):
    """torchvision's RPN head with outputs in float32, so that boxes and losses are exact under autocast."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Objectness (B, A, H, W) and box offsets (B, 4A, H, W) of each level."""
        objectness, offsets = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in offsets]


class AnchorMatcher(Matcher):
    """torchvision's matcher, which also matches each object with the anchors that overlap it most."""

    def set_low_quality_matches_(
        self, matches: Int[Tensor, " n"], all_matches: Int[Tensor, " n"], match_quality_matrix: Float[Tensor, "m n"]
    ) -> None:
        """Match these anchors in place, without asking how many they are."""
        best = (match_quality_matrix == match_quality_matrix.amax(dim=1, keepdim=True)).any(dim=0)
        matches.copy_(torch.where(best, all_matches, matches))


class SteadyRPN(RegionProposalNetwork):
    """torchvision's RPN with the same results, by functions that wait for a GPU twice, and once an image for NMS."""

    box_coder: Any
    proposal_matcher: Any

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.box_coder = BoxCoder(self.box_coder.weights)
        self.proposal_matcher = AnchorMatcher(
            self.proposal_matcher.high_threshold, self.proposal_matcher.low_threshold, allow_low_quality_matches=True
        )

    def filter_proposals(
        self,
        proposals: Float[Tensor, "b n 4"],
        objectness: Float[Tensor, "_ 1"],
        image_shapes: Sequence[tuple[int, int]],
        num_anchors_per_level: Sequence[int],
    ) -> tuple[list[Float[Tensor, "_ 4"]], list[Float[Tensor, "_"]]]:
        """Proposals of each image and their scores, best first: the best of each level, after NMS.

        Args:
            proposals: refined anchors of all levels, finest first.
            objectness: logits.
            image_shapes: height and width of each image.
            num_anchors_per_level: as their name says.
        """
        objectness = objectness.detach().reshape(len(proposals), -1)
        sizes = enumerate(num_anchors_per_level)
        levels = torch.cat([torch.full((n,), level, device=objectness.device) for level, n in sizes])
        best = self._get_top_n_idx(objectness, num_anchors_per_level)  # (b, m)
        scores = objectness.gather(1, best).sigmoid()
        boxes = [clip_boxes_to_image(p[i], size) for p, i, size in zip(proposals, best, image_shapes, strict=True)]
        large = torch.stack([((b[:, 2:] - b[:, :2]) >= self.min_size).all(dim=1) for b in boxes])
        valid = large & (scores >= self.score_thresh)
        found = []
        for i, number in enumerate(valid.sum(dim=1).tolist()):
            some = nth_true(valid[i], torch.arange(number, device=valid.device))
            chosen, score = boxes[i][some], scores[i][some]
            kept = nms_by_level(chosen, score, levels[best[i][some]], self.nms_thresh)[: self.post_nms_top_n()]
            found.append((chosen[kept], score[kept]))
        return [box for box, _ in found], [score for _, score in found]

    def compute_loss(
        self,
        objectness: Float[Tensor, "n 1"],
        pred_bbox_deltas: Float[Tensor, "n 4"],
        labels: Sequence[Float[Tensor, "_"]],
        regression_targets: Sequence[Float[Tensor, "_ 4"]],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Losses of objectness and offsets over a random sample of the anchors.

        Args:
            objectness: logits.
            pred_bbox_deltas: offsets.
            labels: of each image's anchors: 1 object, 0 background, -1 neither.
            regression_targets: offsets to the objects.
        """
        sampler = self.fg_bg_sampler
        drawn = draw_balanced(labels, sampler.batch_size_per_image, sampler.positive_fraction)
        starts = [*accumulate(map(len, labels), initial=0)][:-1]
        positive = torch.cat([one.positive + start for one, start in zip(drawn, starts, strict=True)])
        negative = torch.cat([one.negative + start for one, start in zip(drawn, starts, strict=True)])
        sampled = torch.cat([positive, negative])
        wanted = torch.cat(list(regression_targets))[positive]
        box_loss = F.smooth_l1_loss(pred_bbox_deltas[positive], wanted, beta=1 / 9, reduction="sum") / len(sampled)
        truth = torch.cat(list(labels))[sampled]
        return F.binary_cross_entropy_with_logits(objectness.flatten()[sampled], truth), box_loss


def nms_by_level(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], levels: Int[Tensor, " n"], threshold: float
) -> Int[Tensor, "_"]:
    """Indices of the boxes that NMS within each level leaves, best first.

    torchvision takes many boxes level by level, which waits for a GPU a dozen times; there all levels, moved apart, are
    taken at once.
    """
    if boxes.device.type == "cpu" or not len(boxes):
        return batched_nms(boxes, scores, levels, threshold)
    return nms(boxes + (levels * (boxes.max() + 1))[:, None], scores, threshold)


class RPN(SteadyRPN):
    """torchvision's RPN with the settings of FPN (sec. 4.1): IoU 0.7 and 0.3, NMS at 0.7 within each level.

    Args:
        channels: channels of the pyramid.
        strides: stride of each pyramid level in pixels.
        config: anchors, and numbers of candidates, proposals and samples.
    """

    def __init__(self, channels: int, strides: Sequence[int], config: RPNConfig = RPNConfig()):
        super().__init__(
            PyramidAnchors(config.anchor_sizes, strides),
            Float32Head(channels, len(ASPECT_RATIOS)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=config.samples,
            positive_fraction=0.5,
            pre_nms_top_n={"training": config.candidates[0], "testing": config.candidates[1]},
            post_nms_top_n={"training": config.proposals, "testing": config.proposals},
            nms_thresh=0.7,
        )

    def forward(
        self,
        features: Sequence[Float[Tensor, "b c _ _"]],
        size: tuple[int, int],
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> tuple[list[Float[Tensor, "_ 4"]], dict[str, Float[Tensor, ""]]]:
        """Proposals of each image, best first, and in training the losses.

        Args:
            features: pyramid of images of one size.
            size: height and width of the images in pixels.
            targets: `boxes` of each image, needed in training.
        """
        images = ImageList(features[0], [size] * len(features[0]))  # only the sizes are read
        boxes, losses = super().forward(images, dict(enumerate(features)), targets)
        return boxes, {name.removesuffix("_reg"): loss for name, loss in losses.items()}
