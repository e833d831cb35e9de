"""SwinV2 of timm, transformers and torchvision, and ours, all with the same random weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import timm
import torch
import torchvision
import transformers
from torch import Tensor, nn
from torchvision.models import swin_transformer

import swinv2
from swinv2.variants import VARIANTS
from swinv2.weights.conversion import from_official, to_official

EAGER = ("timm", "transformers", "torchvision")
VERSIONS = ", ".join(f"{one.__name__} {one.__version__}" for one in (timm, transformers, torchvision))


@dataclass(frozen=True)
class Work:
    """A named model and the images that it is given.

    Attributes:
        name: one of `swinv2.list_models()`.
        window: in tokens.
        batch: number of images.
        height: of the images, pixels.
        width: of the images, pixels.
        features: whether four feature maps are computed, not normalised, rather than logits.
    """

    name: str
    window: int
    batch: int
    height: int
    width: int
    features: bool = False

    @property
    def grids(self) -> list[tuple[int, int]]:
        """Tokens along each axis, in each stage."""
        return [(-(-self.height // side), -(-self.width // side)) for side in (4, 8, 16, 32)]

    @property
    def whole(self) -> bool:
        """Whether windows fill all grids, so that no peer pads."""
        return all(length % min(length, self.window) == 0 for grid in self.grids for length in grid)

    def images(self) -> Tensor:
        """A batch."""
        return torch.randn(self.batch, 3, self.height, self.width, generator=torch.Generator().manual_seed(0))


class Peer(nn.Module):
    """A model behind the call that gives its logits or its feature maps.

    Args:
        model: of another project.
        call: gives the output of a model for a batch.
    """

    def __init__(self, model: nn.Module, call: Callable[[Any, Tensor], Any]):
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, x: Tensor) -> Any:
        """Logits, or a list of feature maps."""
        return self.call(self.model, x)


def peers(work: Work) -> dict[str, nn.Module]:
    """The models of all projects that have this one."""
    return {whose: peer(whose, work) for whose in having(work)}


def having(work: Work) -> list[str]:
    """Names of the projects that have a model; torchvision's have windows of 8 only."""
    return [whose for whose in EAGER if whose != "torchvision" or work.window == 8]


def peer(whose: str, work: Work) -> nn.Module:
    """The model of a project."""
    build = {"timm": timm_model, "transformers": transformers_model, "torchvision": torchvision_model}
    return build[whose](work, random_weights(work.name))


def our_model(work: Work, checkpointing: bool = False) -> nn.Module:
    """Ours; where features are asked for, without the norms that peers lack."""
    if not work.features:
        model: nn.Module = swinv2.create_model(work.name, window_size=work.window, checkpointing=checkpointing)
        swinv2.load_weights(model, random_weights(work.name))
        return model
    backbone = swinv2.create_backbone(work.name, window_size=work.window, checkpointing=checkpointing)
    swinv2.load_weights(backbone, random_weights(work.name))
    for level in range(4):
        setattr(backbone, f"norm{level}", nn.Identity())
    return backbone


def timm_model(work: Work, weights: Mapping[str, Tensor]) -> nn.Module:
    """Of timm."""
    trained = VARIANTS[work.name].pretrained_window_sizes
    model = timm.create_model(
        work.name,
        img_size=(work.height, work.width),
        window_size=work.window,
        pretrained_window_sizes=trained,
        drop_path_rate=0.0,
    )
    filled(model, weights, "timm", work)
    if not work.features:
        return model
    return Peer(model, lambda model, x: model.forward_intermediates(x, intermediates_only=True))


def transformers_model(work: Work, weights: Mapping[str, Tensor]) -> nn.Module:
    """Of transformers."""
    variant = VARIANTS[work.name]
    config = transformers.Swinv2Config(
        image_size=(work.height, work.width),
        window_size=work.window,
        pretrained_window_sizes=list(variant.pretrained_window_sizes),
        embed_dim=variant.embed_dim,
        depths=list(variant.depths),
        num_heads=list(variant.num_heads),
        num_labels=variant.num_classes,
        drop_path_rate=0.0,
        out_indices=[1, 2, 3, 4],
    )
    model = filled(transformers.Swinv2ForImageClassification(config), weights, "hf", work)
    if not work.features:
        return Peer(model, lambda model, x: model(x).logits)
    backbone = transformers.Swinv2Backbone(config)
    backbone.embeddings, backbone.encoder = model.swinv2.embeddings, model.swinv2.encoder
    return Peer(backbone, lambda model, x: list(model(x).feature_maps))


def torchvision_model(work: Work, weights: Mapping[str, Tensor]) -> nn.Module:
    """Of torchvision, which pads a grid smaller than the window."""
    variant = VARIANTS[work.name]
    model = swin_transformer.SwinTransformer(
        [4, 4],
        variant.embed_dim,
        list(variant.depths),
        list(variant.num_heads),
        [work.window, work.window],
        stochastic_depth_prob=0.0,
        num_classes=variant.num_classes,
        block=swin_transformer.SwinTransformerBlockV2,
        downsample_layer=swin_transformer.PatchMergingV2,
    )
    filled(model, weights, "torchvision", work)
    return Peer(model, _torchvision_features) if work.features else model


def _torchvision_features(model: Any, x: Tensor) -> list[Tensor]:
    steps = list(accumulate(model.features, lambda y, layer: layer(y), initial=x))
    return [steps[i].movedim(-1, 1) for i in (2, 4, 6, 8)]  # the embedding is followed by stages and mergings in turns


def filled(model: nn.Module, weights: Mapping[str, Tensor], layout: str, work: Work) -> Any:
    """A model of another project with our weights, all of them."""
    trained = [(window, window) for window in VARIANTS[work.name].pretrained_window_sizes]
    report = model.load_state_dict(from_official(weights, layout, trained), strict=False)
    left = {name for name, _ in model.named_parameters()} & set(report.missing_keys)
    assert not left and not report.unexpected_keys, (left, report.unexpected_keys)
    return model


@lru_cache(maxsize=1)
def random_weights(name: str) -> dict[str, Tensor]:
    """Weights of a named model that all matter, the same in each call, under official names."""
    torch.manual_seed(0)
    return to_official(randomised(swinv2.create_model(name)).state_dict(), "ours")


def randomised(model: nn.Module) -> nn.Module:
    """Give every weight a value that matters; the branches of a new model are closed."""
    for name, parameter in model.named_parameters():
        if "logit_scale" not in name:
            scale = "norm" in name and name.endswith("weight")
            nn.init.normal_(parameter, 1.0 if scale else 0.0, 0.2 if parameter.ndim == 1 else 0.05)
    return model


def compiled(model: nn.Module) -> Any:
    """A model under torch.compile; what was compiled before is forgotten, as it counts against a limit."""
    torch.compiler.reset()
    return torch.compile(model)


def error(found: Any, reference: Any) -> tuple[float, float]:
    """Difference from a reference, of features in the coarsest map: largest and root of the mean square.

    Both are in multiples of the reference's largest value.
    """
    found, reference = ((x[-1] if isinstance(x, list) else x).double().cpu() for x in (found, reference))
    apart = (found - reference) / reference.abs().max()
    return apart.abs().max().item(), apart.square().mean().sqrt().item()
