"""Segmenter: a backbone, a head for the class of every pixel, and in training an auxiliary head."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from segmentation.data.class_list import IGNORED
from segmentation.segmenters.layers import ConvNormReLU
from swinv2 import SwinTransformerV2
from swinv2.imaging.normalize import check_images, normalize


class Segmenter(nn.Module):
    """Base class of segmenters: images and label maps to losses in training, images to logits in evaluation.

    Args:
        backbone: images to feature maps, finest first.
        decode_head: feature maps to logits.
        num_classes: number of classes, at least 1.
        auxiliary_head: last feature map but one to logits, in training only; None for none.
        auxiliary_weight: factor of the auxiliary head's loss.
    """

    def __init__(
        self,
        backbone: SwinTransformerV2,
        decode_head: nn.Module,
        num_classes: int,
        auxiliary_head: nn.Module | None = None,
        auxiliary_weight: float = 0.4,
    ):
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head
        self.auxiliary_head = auxiliary_head
        self.num_classes = num_classes
        self.auxiliary_weight = auxiliary_weight
        for module in (decode_head, auxiliary_head):
            if module is not None:
                module.apply(initialise)
                nn.init.normal_(module.conv_seg.weight, std=0.01)  # type: ignore[union-attr, arg-type]

    @property
    def heads(self) -> list[nn.Module]:
        """Convolutions of the heads, each with its normalisation; graphs of a whole head take minutes for each size."""
        return [part for part in self.modules() if type(part) is ConvNormReLU]

    def forward(
        self, images: Shaped[Tensor, "b 3 h w"], labels: Shaped[Tensor, "..."] | None = None
    ) -> dict[str, Float[Tensor, ""]] | Float[Tensor, "b classes _ _"]:
        """Compute losses in training, logits at the stride of the finest features in evaluation.

        Args:
            images: RGB, uint8 or float from 0 to 1, of any size.
            labels: needed in training: class of each pixel, from 0 to `num_classes` - 1, or -1 to ignore it.

        Returns:
            `loss_segmentation` and, with an auxiliary head, `loss_auxiliary`; or logits (B, K, ⌈H/4⌉, ⌈W/4⌉) in
            float32, to be upsampled bilinearly to the size of the images.

        Raises:
            ValueError, TypeError: images or labels of another form.
        """
        check_images(images.unbind())
        features = self.backbone(normalize(images, next(self.parameters()).dtype))
        logits = self.decode_head(features)
        if not self.training:
            return logits.float()
        wanted = check_labels(labels, images, self.num_classes)
        losses = {"loss_segmentation": pixel_loss(logits, wanted)}
        if self.auxiliary_head is not None:
            losses["loss_auxiliary"] = self.auxiliary_weight * pixel_loss(self.auxiliary_head(features[-2]), wanted)
        return losses


def check_labels(labels: Tensor | None, images: Tensor, num_classes: int) -> Int[Tensor, "b h w"]:
    """Check label maps and return them as int64 for the loss.

    Raises:
        ValueError: labels are missing, of another size than the images, or out of range.
    """
    if labels is None:
        raise ValueError("training needs labels, got None; for logits call model.eval() first.")
    if labels.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, the images {tuple(images.shape)}; give one map of the size of "
            "its image for each."
        )
    on_cpu = labels.device.type == "cpu"  # on a GPU the check would wait for the device
    if on_cpu and (labels.min() < IGNORED or labels.max() >= num_classes):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}; the model has num_classes={num_classes}, labels are 0 "
            f"to {num_classes - 1}, and {IGNORED} where nothing is known."
        )
    return labels.as_subclass(Tensor).long()


def pixel_loss(logits: Float[Tensor, "b classes _ _"], labels: Int[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the labelled pixels, with logits upsampled bilinearly to the size of the labels.

    Upsampled logits exist for one image at a time, in the forward pass only, which also computes the gradient.
    """
    known = (labels != IGNORED).sum().clamp(min=1)
    return EnlargedCrossEntropy.apply(logits, labels) / known


class EnlargedCrossEntropy(torch.autograd.Function):
    """Sum of the cross-entropy of all labelled pixels, in float32."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum over the pixels; its gradient is saved for the backward pass."""
        total, gradients = logits.new_zeros((), dtype=torch.float32), []
        for coarse, wanted in zip(logits.split(1), labels.split(1), strict=True):
            with torch.enable_grad(), torch.autocast(logits.device.type, enabled=False):
                coarse = coarse.detach().float().requires_grad_()
                enlarged = F.interpolate(coarse, wanted.shape[1:], mode="bilinear")
                loss = F.cross_entropy(enlarged, wanted, ignore_index=IGNORED, reduction="sum")
                gradients += torch.autograd.grad(loss, coarse)
            total += loss.detach()
        ctx.save_for_backward(torch.cat(gradients).to(logits.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Gradient of the logits; none for the labels."""
        (kept,) = ctx.saved_tensors
        return (kept * gradient).to(kept.dtype), None


def initialise(module: nn.Module) -> None:
    """Initialise convolutions by Kaiming's method for ReLU, as in mmsegmentation."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def channels_of(backbone: SwinTransformerV2) -> Sequence[int]:
    """Channels of the backbone's feature maps, at least two.

    Raises:
        ValueError: the backbone has fewer.
    """
    if len(backbone.channels) < 2:
        raise ValueError(f"The head needs two feature maps or more, got {len(backbone.channels)}; set out_indices.")
    return backbone.channels
