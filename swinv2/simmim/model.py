"""SimMIM: a backbone that encodes an image with masked patches, and a linear decoder that predicts them."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor, nn

from ..imaging.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from ..variants import BackboneConfig
from .masks import MaskGenerator
from .targets import local_statistics


class SimMIM(nn.Module):
    """Predicts the pixels of masked patches from the rest of an image (arXiv:2111.09886).

    Masked tokens are replaced by a learned one after the patch embedding; a 1 × 1 convolution predicts, from each of
    the backbone's last features, all pixels of its patch. For SwinV2, the authors predict pixels normalised by mean
    and standard deviation of their neighbourhood.

    Args:
        backbone: its model, window, …; only the features of its last stage are used.
        mask_patch_size: side of the masked squares, pixels, a multiple of the model's patch.
        mask_ratio: share of the squares that is masked, above 0, at most 1.
        norm_patch_size: side of the neighbourhood for normalising pixels, an odd number from 3; None for the pixels of
            the backbone's input.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        backbone: BackboneConfig,
        mask_patch_size: int = 32,
        mask_ratio: float = 0.6,
        norm_patch_size: int | None = 47,
    ):
        super().__init__()
        if norm_patch_size is not None and (norm_patch_size < 3 or norm_patch_size % 2 == 0):
            raise ValueError(
                f"norm_patch_size is an odd number of pixels from 3, got {norm_patch_size}; use 47, or null for pixels "
                "that are not normalised."
            )
        self.backbone = backbone.of_last_stage().build()
        embedding = self.backbone.patch_embed.proj
        self.mask_generator = MaskGenerator(mask_patch_size, mask_ratio, embedding.stride[0])
        self.norm_patch_size = norm_patch_size
        self.stride = self.backbone.strides[-1]
        self.mask_token = nn.Parameter(torch.empty(1, 1, embedding.out_channels))
        self.decoder = nn.Sequential(  # named as in the release
            nn.Conv2d(self.backbone.channels[-1], self.stride**2 * embedding.in_channels, 1),
            nn.PixelShuffle(self.stride),
        )
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, images: Shaped[Tensor, "b 3 h w"], masks: Bool[Tensor, "b th tw"]) -> Float[Tensor, "b 3 h w"]:
        """Predicted target of all pixels, masked or not.

        Args:
            images: RGB, uint8 or float from 0 to 1.
            masks: True for masked tokens.
        """
        tokens = self.backbone.patch_embed(normalize(images, self.mask_token.dtype))  # (b, th, tw, c)
        tokens = torch.where(masks.unsqueeze(-1), self.mask_token, tokens)
        return self.decoder(self.backbone.encode(tokens)[-1]).float()

    def draw_masks(
        self, images: Shaped[Tensor, "b 3 h w"], generators: Sequence[torch.Generator] | None = None
    ) -> Bool[Tensor, "b th tw"]:
        """Random mask for each image.

        Args:
            images: only their number and size matter.
            generators: of random numbers, one per image; torch's default one if None.

        Raises:
            ValueError: the images cannot be divided into masked patches, or into patches of the last features.
        """
        size = tuple(images.shape[2:])
        step = math.lcm(self.stride, self.mask_generator.patch_size)
        if any(side % step for side in size):
            raise ValueError(
                f"SimMIM takes images with sides of multiples of {step} pixels, got {size}; set data.size to one."
            )
        each = [None] * len(images) if generators is None else generators
        masks = [self.mask_generator(size, generator) for generator in each]
        return torch.stack(masks).to(images.device)

    def loss(
        self,
        prediction: Float[Tensor, "b 3 h w"],
        images: Shaped[Tensor, "b 3 h w"],
        masks: Bool[Tensor, "b th tw"],
    ) -> Float[Tensor, ""]:
        """Mean absolute error of the masked pixels.

        Args:
            prediction: output of `forward`.
            images: input of `forward`.
            masks: input of `forward`.
        """
        pixels = normalize(images, torch.float32)
        if self.norm_patch_size is not None:
            mean, deviation = local_statistics(pixels, self.norm_patch_size)
            pixels = (pixels - mean) / deviation
        hidden = self._pixels(masks)
        return ((prediction - pixels).abs() * hidden).sum() / (hidden.sum() + 1e-5) / pixels.shape[1]

    def reconstruct(
        self,
        prediction: Float[Tensor, "b 3 h w"],
        images: Shaped[Tensor, "b 3 h w"],
        masks: Bool[Tensor, "b th tw"],
    ) -> tuple[UInt8[Tensor, "b 3 h w"], UInt8[Tensor, "b 3 h w"]]:
        """Masked images, with grey for masked pixels, and reconstructed images, with predictions for them.

        A normalised prediction gets mean and deviation of the true neighbourhood, which the model does not know.

        Args:
            prediction: output of `forward`.
            images: input of `forward`.
            masks: input of `forward`.
        """
        pixels, hidden = normalize(images, torch.float32), self._pixels(masks)
        if self.norm_patch_size is not None:
            mean, deviation = local_statistics(pixels, self.norm_patch_size)
            prediction = prediction * deviation + mean
        seen = torch.where(hidden, torch.zeros_like(pixels), pixels)
        return _to_bytes(seen), _to_bytes(torch.where(hidden, prediction, pixels))

    def _pixels(self, masks: Bool[Tensor, "b th tw"]) -> Bool[Tensor, "b 1 h w"]:
        """Mask of pixels, True for masked ones."""
        side = self.mask_generator.token_size
        return masks.repeat_interleave(side, 1).repeat_interleave(side, 2).unsqueeze(1)


def _to_bytes(pixels: Float[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b 3 h w"]:
    """RGB bytes of normalized images, the inverse of `normalize`."""
    mean, deviation = (
        torch.tensor(three, device=pixels.device).view(3, 1, 1) for three in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return ((pixels * deviation + mean) * 255).round().clamp(0, 255).to(torch.uint8)
