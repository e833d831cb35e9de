"""Backbone for the detectors of torchvision."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from .backbone import SwinTransformerV2
from .variants import create_backbone

EXTRA_LEVELS = ("pool", "p6p7", None)


class TorchvisionBackbone(nn.Module):
    """Backbone and feature pyramid with the names and attributes that torchvision's detectors expect.

    Args:
        body: the backbone.
        fpn: feature pyramid, from feature maps by name to feature maps by name.
        out_channels: channels of all output maps, or of each.
    """

    def __init__(self, body: SwinTransformerV2, fpn: nn.Module, out_channels: int | list[int]):
        super().__init__()
        self.body = body
        self.fpn = fpn
        self.out_channels = out_channels

    def forward(self, images: Float[Tensor, "b channels h w"]) -> OrderedDict[str, Float[Tensor, "b _ _ _"]]:
        """Feature maps by name, finest first: "0", "1", … and those of the extra levels.

        They have the images' dtype even under autocast, since torchvision makes anchors in the maps' dtype.
        """
        maps = self.fpn(OrderedDict((str(level), x) for level, x in enumerate(self.body(images))))
        return OrderedDict((name, x.to(images)) for name, x in maps.items())


def as_torchvision_backbone(
    backbone: SwinTransformerV2 | str,
    fpn_channels: int | None = 256,
    extra_levels: str | None = "pool",
    weights: str | None = None,
) -> TorchvisionBackbone:
    """Backbone for any detector of torchvision, e.g. `FasterRCNN(as_torchvision_backbone(name), num_classes=91)`.

    FasterRCNN, MaskRCNN and KeypointRCNN take it as it is; RetinaNet and FCOS need `extra_levels="p6p7"`; SSD needs
    `fpn_channels=None`. These detectors scale, pad and normalise the images themselves.

    Args:
        backbone: a backbone, or the name of one, which then returns its last three stages with "p6p7", else all.
        fpn_channels: channels of the feature pyramid; None for the backbone's own maps, without a pyramid.
        extra_levels: coarser levels on top of the pyramid: "pool" for one by subsampling (Faster R-CNN's P6), "p6p7"
            for two by convolution (RetinaNet's), None for none.
        weights: for a name, `imagenet1k` or `imagenet22k` for published weights, or the path, URL or hub id of a
            checkpoint.

    Raises:
        ImportError: torchvision is not installed.
        ValueError: a backbone for clips or with a gap in its stages, weights for a backbone that is not given by
            name, or unknown extra levels.
    """
    try:
        from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7
    except ImportError as error:
        raise ImportError("as_torchvision_backbone needs torchvision; run `pip install torchvision`.") from error
    if extra_levels not in EXTRA_LEVELS:
        raise ValueError(f"extra_levels is one of {', '.join(map(repr, EXTRA_LEVELS))}, got {extra_levels!r}.")
    body = _body(backbone, (1, 2, 3) if extra_levels == "p6p7" else (0, 1, 2, 3), weights)
    if fpn_channels is None:  # no pyramid, so extra_levels has no effect
        return TorchvisionBackbone(body, nn.Identity(), body.channels if len(body.channels) > 1 else body.channels[0])
    on_top = LastLevelP6P7(fpn_channels, fpn_channels) if extra_levels == "p6p7" else LastLevelMaxPool()
    fpn = FeaturePyramidNetwork(body.channels, fpn_channels, on_top if extra_levels else None)
    return TorchvisionBackbone(body, fpn, fpn_channels)


def _body(backbone: SwinTransformerV2 | str, stages: tuple[int, ...], weights: str | None) -> SwinTransformerV2:
    if isinstance(backbone, str):
        return create_backbone(backbone, out_indices=stages, weights=weights)
    if weights is not None:
        raise ValueError(f"weights={weights!r} are for a backbone given by name; call load_weights(backbone, …) first.")
    if backbone.axes != 2:
        raise ValueError(f"torchvision detects in images, got a backbone of {backbone.axes} axes; make one of 2.")
    first, last = backbone.out_indices[0], backbone.out_indices[-1]
    if backbone.out_indices != list(range(first, last + 1)):
        raise ValueError(
            f"torchvision takes each map to be half of the one before, got out_indices {tuple(backbone.out_indices)}; "
            f"use e.g. {tuple(range(first, last + 1))}."
        )
    return backbone
