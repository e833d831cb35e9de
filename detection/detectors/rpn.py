"""Region proposal network: boxes that may contain an object of any class (arXiv:1506.01497)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

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


class RPN(RegionProposalNetwork):
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
