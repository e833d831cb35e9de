"""What the named models cost and reach, as a table."""

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from ..attention import WindowAttention
from ..backbone import Block, Stage
from ..classifier import ImageClassifier, create_model
from ..variants import VARIANTS, list_models

with warnings.catch_warnings(action="ignore"):  # what fvcore calls on import is deprecated
    from fvcore.nn import FlopCountAnalysis


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-adds of a model for one input.

    Attributes:
        parameters: number of weights.
        official: multiply-adds as the authors count them: matrix products, and one for each normalised number.
        hooked: the count of the mm- tables, taken by hooks on modules: without qkv and the attention products, which no
            module computes, and with the network of the position bias.
    """

    parameters: int
    official: int
    hooked: int


def cost(model: nn.Module, *shape: int) -> Cost:
    """Count for one input of a shape, by tracing; on the meta device even for models that fit no memory.

    Args:
        model: any model that contains the backbone; it is left as it was.
        shape: shape of the input, e.g. 1, 3, 256, 256.
    """
    model = copy.deepcopy(model).eval()
    for stage in model.modules():
        if isinstance(stage, Stage):
            stage.shift = False  # the authors count the shifted windows as whole ones
    device = next(model.parameters()).device
    with torch.no_grad():
        flops = FlopCountAnalysis(model, torch.zeros(shape, device=device))
        flops.set_op_handle("aten::layer_norm", _elements, "aten::scaled_dot_product_attention", _attention)
        flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        of = flops.by_module()
    attentions = [name for name, module in model.named_modules() if isinstance(module, WindowAttention)]
    bias = sum(of[f"{name}.cpb_mlp"] for name in attentions)
    unhooked = sum(of[name] - of[f"{name}.cpb_mlp"] - of[f"{name}.proj"] for name in attentions)
    return Cost(sum(p.numel() for p in model.parameters()), round(of[""] - bias), round(of[""] - unhooked))


def _elements(inputs: list[Any], outputs: list[Any]) -> int:
    return math.prod(inputs[0].type().sizes())


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    return 2 * math.prod(inputs[0].type().sizes()) * inputs[1].type().sizes()[-2]  # q·k and weights·v


def cost_of_classifier(model: ImageClassifier, side: int) -> Cost:
    """`cost` of a named classifier for a square image that whole windows cover, by its weights: no model is traced.

    Args:
        model: the classifier.
        side: of the image, pixels; tokens of every stage are a multiple of its windows.
    """
    backbone, hooked = model.backbone, 0
    grid = side // backbone.patch_embed.patch_size[0]
    official = grid**2 * weights(backbone.patch_embed)
    for stage in backbone.stages:
        window = min(stage.window[0], grid)
        for block in stage.blocks:
            attention = cast(Block, block).attn
            bias, products = weights(attention.cpb_mlp), 2 * window**2 * attention.proj.in_features
            official += grid**2 * (weights(block) - bias + products)
            hooked += (2 * window - 1) ** 2 * bias - grid**2 * (weights(attention.qkv) + products)
        if stage.downsample is not None:
            grid //= stage.downsample.stride[0]
            official += grid**2 * weights(stage.downsample)
    official += grid**2 * weights(backbone.get_submodule(f"norm{backbone.out_indices[-1]}")) + weights(model.head)
    return Cost(sum(p.numel() for p in model.parameters()), official, official + hooked)


def weights(module: nn.Module) -> int:
    """Numbers that a token is multiplied by in all matrices and norms of a module."""
    counted = (part for part in module.modules() if isinstance(part, nn.Linear | nn.LayerNorm | nn.Conv2d))
    return sum(part.weight.numel() for part in counted)


def models_table(pattern: str = "*") -> str:
    """Parameters, multiply-adds, windows and published accuracy of the models whose names match a shell pattern."""
    rows = [("model", "params", "MACs", "MACs (hooks)", "window", "trained in", "top-1", "top-5")]
    for name in list_models(pattern):
        model = VARIANTS[name]
        with torch.device("meta"):
            counted = cost_of_classifier(create_model(name), model.image_size)
        rows.append(
            (
                name,
                f"{counted.parameters / 1e6:.2f} M",
                f"{counted.official / 1e9:.2f} G",
                f"{counted.hooked / 1e9:.2f} G",
                f"{model.window_size} at {model.image_size}",
                ",".join(map(str, model.pretrained_window_sizes)),
                f"{model.top1 or '–'}",
                f"{model.top5 or '–'}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *NOTES])


NOTES = (
    "params with the released head; huge and giant, never released, with 1000 classes.",
    "MACs: multiply-adds as the authors count them. MACs (hooks): as in the mm- tables, which leave out",
    "qkv and the attention products and count the position bias network; their 22k rows also leave out the head.",
    "top-1, top-5: published ImageNet-1K accuracy in percent, not measured here",
    "  (github.com/microsoft/Swin-Transformer, MODELHUB.md).",
)
