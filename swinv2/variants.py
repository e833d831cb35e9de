"""Named models, from tiny to giant, and their configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from torch import nn

from .arguments import Window
from .backbone import SwinTransformerV2
from .engines import Choice, use_engine
from .weights.loading import load_weights, weights_url
from .weights.published import TAGS


@dataclass(frozen=True)
class Variant:
    """Model of the paper.

    Attributes:
        embed_dim: channels of the first stage.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        image_size: side of the square images it was trained on, in pixels.
        window_size: window in tokens.
        pretrained_window_sizes: window of each stage in pretraining, the unit of the position bias.
        num_classes: classes of the released head.
        extra_norm_period: blocks from one extra normalisation to the next, 0 for none.
        top1: ImageNet-1K top-1 accuracy in percent, published in the official model hub; None if there is none.
        top5: top-5 accuracy in percent.
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    image_size: int
    window_size: int
    pretrained_window_sizes: tuple[int, ...]
    num_classes: int = 1000
    extra_norm_period: int = 0
    top1: float | None = None
    top5: float | None = None


_TINY = (96, (2, 2, 6, 2), (3, 6, 12, 24))
_SMALL = (96, (2, 2, 18, 2), (3, 6, 12, 24))
_BASE = (128, (2, 2, 18, 2), (4, 8, 16, 32))
_LARGE = (192, (2, 2, 18, 2), (6, 12, 24, 48))
_HUGE = (352, (2, 2, 18, 2), (11, 22, 44, 88))
_GIANT = (512, (2, 2, 42, 4), (16, 32, 64, 128))
_W8, _W12, _W16 = (8, 8, 8, 8), (12, 12, 12, 6), (16, 16, 16, 8)

VARIANTS = {
    "swinv2_tiny_window8_256": Variant(*_TINY, 256, 8, _W8, top1=81.8, top5=95.9),
    "swinv2_tiny_window16_256": Variant(*_TINY, 256, 16, _W16, top1=82.8, top5=96.2),
    "swinv2_small_window8_256": Variant(*_SMALL, 256, 8, _W8, top1=83.7, top5=96.6),
    "swinv2_small_window16_256": Variant(*_SMALL, 256, 16, _W16, top1=84.1, top5=96.8),
    "swinv2_base_window8_256": Variant(*_BASE, 256, 8, _W8, top1=84.2, top5=96.9),
    "swinv2_base_window16_256": Variant(*_BASE, 256, 16, _W16, top1=84.6, top5=97.0),
    "swinv2_base_window12_192": Variant(*_BASE, 192, 12, _W12, num_classes=21841),
    "swinv2_base_window12to16_192to256": Variant(*_BASE, 256, 16, _W12, top1=86.2, top5=97.9),
    "swinv2_base_window12to24_192to384": Variant(*_BASE, 384, 24, _W12, top1=87.1, top5=98.2),
    "swinv2_large_window12_192": Variant(*_LARGE, 192, 12, _W12, num_classes=21841),
    "swinv2_large_window12to16_192to256": Variant(*_LARGE, 256, 16, _W12, top1=86.9, top5=98.0),
    "swinv2_large_window12to24_192to384": Variant(*_LARGE, 384, 24, _W12, top1=87.6, top5=98.3),
    "swinv2_huge_window12_192": Variant(*_HUGE, 192, 12, _W12, extra_norm_period=6),
    "swinv2_giant_window12_192": Variant(*_GIANT, 192, 12, _W12, extra_norm_period=6),
}
VIDEO_WINDOW, VIDEO_PATCH, VIDEO_STRIDE = 8, 2, 1  # along time: tokens per window, frames per patch, merging stride


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a shell pattern such as `*base*`."""
    return [name for name in VARIANTS if fnmatch(name, pattern)]


def variant(name: str) -> Variant:
    """Named model of the paper.

    Raises:
        ValueError: there is no such model.
    """
    if name not in VARIANTS:
        near = get_close_matches(name, VARIANTS, n=1, cutoff=0.0)[0]
        raise ValueError(f"there is no model named '{name}'; the nearest is '{near}', `swinv2 models` lists all.")
    return VARIANTS[name]


def create_backbone(name: str, *, video: bool = False, **options: Any) -> SwinTransformerV2:
    """Named backbone without a head; its output is a list of feature maps.

    Args:
        name: one of `list_models()`.
        video: whether the model takes clips (B, in_channels, T, H, W); image weights are inflated.
        options: other attributes of `BackboneConfig`, e.g. `window_size`, `weights`, `out_indices`.

    Raises:
        ValueError: no such model or weights, or numbers that do not fit each other.
        TypeError: an unknown option.
    """
    return BackboneConfig(name, **options).build(video)


def load_named(model: nn.Module, name: str, weights: str | None) -> None:
    """Load weights, unless they are None, into a backbone or a model around it.

    An existing file is read even if its name begins like that of published weights.

    Args:
        model: changed in place.
        name: of the backbone, one of `list_models()`.
        weights: `imagenet1k` or `imagenet22k` for published weights, or the path, URL or hub id of a checkpoint.

    Raises:
        ValueError: none are published, or they do not fit.
    """
    if weights is None:
        return
    there = Path(weights).is_file() if weights in TAGS else Path(weights).exists()
    published = weights in TAGS or weights.lower().startswith("imagenet")
    load_weights(model, weights_url(name, weights) if published and not there else weights)


@dataclass
class BackboneConfig:
    """Configuration of a named backbone: the options of `create_backbone`, and the keys of `backbone` in a recipe.

    Attributes:
        name: one of `list_models()`.
        window_size: window in tokens, if not that of the name; one number, one per axis, or one entry per stage.
        weights: `imagenet1k` or `imagenet22k` for published weights, or the path, URL or hub id of a checkpoint.
        out_indices: stages whose features are returned, finest first.
        in_channels: channels of the input; weights for three channels are adapted.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0 at the first.
        frozen_stages: -1 to train everything, 0 to freeze the patch embedding, i to freeze the first i stages too.
        checkpointing: whether activations of blocks are recomputed in the backward pass to save memory; one value for
            all stages, or one per stage.
        engine: engine of the blocks: "auto", "plain", "cpu" or "gpu", see `use_engine`.
        embed_dim: channels of the first stage, if not those of the name.
        depths: blocks of each stage, if not those of the name.
        num_heads: attention heads of each stage, if not those of the name.
    """

    name: str
    window_size: Window | None = None
    weights: str | None = None
    out_indices: Sequence[int] = (0, 1, 2, 3)
    in_channels: int = 3
    drop_path_rate: float = 0.0
    frozen_stages: int = -1
    checkpointing: bool | Sequence[bool] = False
    engine: Choice = "auto"
    embed_dim: int | None = None
    depths: Sequence[int] | None = None
    num_heads: Sequence[int] | None = None

    def build(self, video: bool = False) -> SwinTransformerV2:
        """Build the backbone with its weights, for images or clips; raises as `create_backbone`."""
        model = variant(self.name)
        depths = self.depths or model.depths
        frames: tuple[int, ...] = (VIDEO_WINDOW,) if video else ()
        trained = [(*frames, window, window) for window in model.pretrained_window_sizes[: len(depths)]]
        backbone = SwinTransformerV2(
            patch_size=(VIDEO_PATCH, 4, 4) if video else (4, 4),
            window_size=self.window_size or (*frames, model.window_size, model.window_size),
            pretrained_window_sizes=trained,
            merge_stride=(VIDEO_STRIDE, 2, 2) if video else (2, 2),
            in_channels=self.in_channels,
            embed_dim=self.embed_dim or model.embed_dim,
            depths=depths,
            num_heads=self.num_heads or model.num_heads,
            drop_path_rate=self.drop_path_rate,
            extra_norm_period=model.extra_norm_period,
            out_indices=self.out_indices,
            frozen_stages=self.frozen_stages,
            checkpointing=self.checkpointing,
        )
        use_engine(backbone, self.engine)
        load_named(backbone, self.name, self.weights)
        return backbone

    def of_last_stage(self) -> "BackboneConfig":
        """Copy of this configuration that returns only the features of the last stage."""
        return replace(self, out_indices=(len(self.depths or variant(self.name).depths) - 1,))
